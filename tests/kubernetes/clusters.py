"""Kubernetes clusters for end-to-end tests: the scripted API server, or a real one.

If KUBEBUILDER_ASSETS names a folder with `kube-apiserver` and `etcd` (the ecosystem's convention),
`cluster()` is a real API server; nothing but it runs, so there are no controllers: slices and the
status of nodes and load balancers are written by the tests, as for the scripted one.
"""

import asyncio
import contextlib
import copy
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
import msgspec

from tests.kubernetes.api_server import GROUPS, ApiServer, Grant, Object, Request
from tests.support.consul_agent import REPOSITORY, free_ports, wait_until

T = TypeVar("T")

PATHS = {resource: path for path, (resource, _, _) in GROUPS.items()}
CLUSTER_WIDE = ("nodes", "namespaces")
ADMIN, WORKER = "token-of-the-admin", "token-of-the-worker"


class TestCluster(Protocol):
    """What end-to-end tests do with a cluster."""

    @property
    def arguments(self) -> list[str]:
        """How `consuldns sync` is told to reach it."""

    def put(self, resource: str, object_: Object) -> None:
        """Create or replace an object; its namespace is made if need be."""

    def delete(self, resource: str, name: str, namespace: str = "default") -> None:
        """Delete an object."""

    def stop(self) -> None:
        """Begin an outage: connections are cut, new ones refused. What it knows, it keeps."""

    def start(self) -> None:
        """End it."""

    def lose_history(self) -> None:
        """End all watches so that none can go on where it was."""


class ScriptedCluster:
    """The scripted API server, on a thread of its own."""

    def __init__(self, *, uid: str = "") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = self._call(ApiServer)
        if uid:
            system = {"metadata": {"name": "kube-system", "uid": uid}}
            self.put("namespaces", system)
        self.start()

    def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        async def call() -> T:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(20)

    @property
    def url(self) -> str:
        """The base URL."""
        return self.server.url

    @property
    def arguments(self) -> list[str]:
        return ["--kube-api", self.url]

    def put(self, resource: str, object_: Object) -> None:
        namespace = object_["metadata"].get("namespace", "")
        if namespace and ("", namespace) not in self.server.objects["namespaces"]:
            self.put("namespaces", {"metadata": {"name": namespace, "uid": f"uid-of-{namespace}"}})
        self._call(self.server.put, resource, object_)

    def delete(self, resource: str, name: str, namespace: str = "default") -> None:
        self._call(self.server.delete, resource, name, namespace)

    def next(self, behaviour: Callable[[Request], Any], **options: Any) -> None:
        """Answer the next requests in this way."""
        self._call(lambda: self.server.next(behaviour, **options))

    def grant(self, grants: set[Grant] | None) -> None:
        """Give the worker these rights and no others; None: all of them. Watches end."""
        self.server.grants = grants
        asyncio.run_coroutine_threadsafe(self.server.drop_connections(), self._loop).result(20)

    def compact(self) -> None:
        """Forget the history."""
        self._call(self.server.compact)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(20)

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(20)

    def lose_history(self) -> None:
        self.stop()
        self.compact()
        self.start()

    def close(self) -> None:
        """End it for good, with everything that still runs on the loop."""

        async def end() -> None:
            await self.server.stop()
            others = {t for t in asyncio.all_tasks() if t is not asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


class RealCluster:
    """kube-apiserver and etcd as processes on free ports of 127.0.0.1."""

    def __init__(self, assets: Path) -> None:
        self._assets = assets
        for program in ("etcd", "kube-apiserver"):
            if not (assets / program).is_file():
                raise RuntimeError(f"KUBEBUILDER_ASSETS: there is no {program} in {assets}")
        self._folder = Path(tempfile.mkdtemp(prefix="kubernetes-"))
        self._log = (self._folder / "log").open("wb")
        self._etcd_port, peer_port, self._port = free_ports(3)
        self._api: subprocess.Popen[bytes] | None = None
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, peer_port))
        self._etcd = self._run(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )
        key = self._folder / "service-account.key"
        command = ["openssl", "genrsa", "-out", str(key), "2048"]
        subprocess.run(command, check=True, capture_output=True)
        tokens = f'{ADMIN},admin,admin,"system:masters"\n{WORKER},consuldns-sync,consuldns-sync\n'
        (self._folder / "tokens.csv").write_text(tokens)
        self._client = httpx.Client(
            base_url=f"https://127.0.0.1:{self._port}",
            verify=False,
            headers={"Authorization": f"Bearer {ADMIN}"},
            timeout=20,
        )
        self._write_kubeconfig()
        try:
            self.start()
            self._grant()
        except BaseException:
            self.close()
            raise

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self._assets / program), *arguments]
        return subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)

    def _write_kubeconfig(self) -> None:
        server = {
            "server": f"https://127.0.0.1:{self._port}",
            "insecure-skip-tls-verify": True,  # it signs its certificate itself
        }
        config = {
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "worker", "user": {"token": WORKER}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "worker"}}],
        }
        (self._folder / "kubeconfig").write_text(json.dumps(config))

    @property
    def arguments(self) -> list[str]:
        return ["--kubeconfig", str(self._folder / "kubeconfig")]

    def start(self) -> None:
        key = self._folder / "service-account.key"
        self._api = self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--cert-dir={self._folder / 'certificates'}",
            "--bind-address=127.0.0.1",
            "--advertise-address=192.0.2.1",  # else it wants a default route to guess from
            f"--secure-port={self._port}",
            "--service-cluster-ip-range=10.254.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--disable-admission-plugins=ServiceAccount",
        )
        try:
            wait_until(self._is_ready, "kube-apiserver ready", 90)
        except AssertionError as error:
            end = Path(self._log.name).read_text(errors="replace")[-4000:]
            raise AssertionError(f"{error}\n{end}") from error

    def _is_ready(self) -> bool:
        """Whether it serves, has made what it makes itself, and would give addresses to services.

        The last two come some time after /readyz.
        """
        assert self._api is not None
        for process in (self._etcd, self._api):
            assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        services = self._collection("services", "default")
        made = (
            "/readyz",
            "/api/v1/namespaces/kube-system",
            f"{services}/kubernetes",
            f"{self._collection('endpointslices', 'default')}/kubernetes",
        )
        one = {
            "metadata": {"name": "one"},
            "spec": {"clusterIP": "10.254.0.2", "ports": [{"port": 1}]},
        }
        try:
            return all(self._client.get(path).status_code == 200 for path in made) and (
                self._client.post(services, params={"dryRun": "All"}, json=one).status_code == 201
            )
        except httpx.HTTPError:
            return False

    def _grant(self) -> None:
        """Give workers the rights that the documentation lists, and no others."""
        document = (REPOSITORY / "docs" / "kubernetes.md").read_text()
        blocks = re.findall(r"^```yaml\n(.*?)^```$", document, re.M | re.S)
        (role,) = (r for r in map(msgspec.yaml.decode, blocks) if r.get("kind") == "ClusterRole")
        name = role["metadata"]["name"]
        group = "rbac.authorization.k8s.io"
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "consuldns-sync"}],
        }
        for resource, object_ in (("clusterroles", role), ("clusterrolebindings", binding)):
            reply = self._client.post(f"/apis/{group}/v1/{resource}", json=object_)
            assert reply.status_code == 201, reply.text
        as_worker = {"Authorization": f"Bearer {WORKER}"}
        wait_until(
            lambda: self._client.get(PATHS["services"], headers=as_worker).status_code == 200,
            "the rights of workers",
        )

    def stop(self) -> None:
        assert self._api is not None
        self._api.kill()
        self._api.wait()

    def lose_history(self) -> None:
        self.stop()
        self.start()  # it keeps the events that it has seen itself, no older ones

    def put(self, resource: str, object_: Object) -> None:
        new = copy.deepcopy(object_)
        metadata = new["metadata"]
        for field in ("uid", "resourceVersion", "managedFields", "creationTimestamp"):
            metadata.pop(field, None)
        namespace = metadata.get("namespace", "")
        if namespace:
            body = {"metadata": {"name": namespace}}
            self._client.post("/api/v1/namespaces", json=body)  # 409: there it is
        collection = self._collection(resource, namespace)
        path = f"{collection}/{metadata['name']}"
        # Not by creating it and seeing the conflict: what is said first is that a service's
        # address is taken.
        old = self._client.get(path)
        if old.status_code == 404:
            reply = self._client.post(collection, json=new)
        else:
            metadata["resourceVersion"] = old.json()["metadata"]["resourceVersion"]
            reply = self._client.put(path, json=new)
        if reply.status_code not in (200, 201):
            raise AssertionError(f"{resource} {metadata['name']}: {reply.text}")
        if new.get("status") and resource in ("services", "nodes", "ingresses"):
            self._put_status(path, new["status"], reply.json())

    def _put_status(self, path: str, status: Object, current: Object) -> None:
        reply = self._client.put(f"{path}/status", json={**current, "status": status})
        if reply.status_code != 200:
            raise AssertionError(f"{path}/status: {reply.text}")

    def delete(self, resource: str, name: str, namespace: str = "default") -> None:
        if resource == "namespaces":  # nobody would finish it: that is a controller's work
            raise AssertionError("namespaces stay, where there are no controllers")
        path = f"{self._collection(resource, namespace)}/{name}"
        if self._client.delete(path).status_code != 200:
            raise AssertionError(f"{path} was not deleted")

    def _collection(self, resource: str, namespace: str) -> str:
        path = PATHS[resource]
        if resource in CLUSTER_WIDE:
            return path
        root, _, name = path.rpartition("/")
        return f"{root}/namespaces/{namespace}/{name}"

    def close(self) -> None:
        """End both processes."""
        self.stop()
        self._etcd.kill()
        self._etcd.wait()
        self._client.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def cluster() -> Iterator[ScriptedCluster | RealCluster]:
    """A cluster: a real one if KUBEBUILDER_ASSETS says where its programs are."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    running = RealCluster(Path(assets)) if assets else ScriptedCluster()
    try:
        yield running
    finally:
        running.close()


@contextlib.contextmanager
def scripted(*, uid: str = "") -> Iterator[ScriptedCluster]:
    """The scripted API server, for what a real one cannot be made to do."""
    running = ScriptedCluster(uid=uid)
    try:
        yield running
    finally:
        running.close()
