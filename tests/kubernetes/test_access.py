"""Ways to a Kubernetes API: a pod's account, kubeconfig files, exec plugins, a plain URL."""

import asyncio
import base64
import contextlib
import json
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from consuldns.config.sync import SyncSettings
from consuldns.errors import ConfigError
from consuldns.sync.kubernetes.access import (
    Access,
    FixedCredentials,
    NoCredentials,
    TokenFile,
    in_cluster,
    plain_url,
)
from consuldns.sync.kubernetes.client import KubernetesClient
from consuldns.sync.kubernetes.errors import Unauthorized, Unreachable
from consuldns.sync.kubernetes.exec_credentials import ExecCredentials
from consuldns.sync.kubernetes.kubeconfig import find_access, from_kubeconfig
from consuldns.sync.kubernetes.objects import SERVICES
from tests.kubernetes.api_server import ApiServer, Request
from tests.kubernetes.objects import service


def new_pem(folder: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    command += ["-days", "1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate.read_text(), key.read_text()


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate and its key."""
    return new_pem(tmp_path_factory.mktemp("pem"))


@pytest.fixture(scope="module")
def other_pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Another one."""
    return new_pem(tmp_path_factory.mktemp("pem"))


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        running.put("services", service("a", "10.0.0.1"))
        yield running


async def listed(access: Access) -> int:
    async with KubernetesClient(access) as client:
        return len((await client.list(SERVICES)).objects)


def written(folder: Path, **parts: Any) -> Path:
    """A kubeconfig (JSON is YAML) with one cluster `c`, one user `u` and one context `x`."""
    config = {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "https://k:6443", **parts["cluster"]}}],
        "users": [{"name": "u", "user": parts.get("user", {})}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    path = folder / "config"
    path.write_text(json.dumps(config))
    return path


# --- in a pod ------------------------------------------------------------------------------------


def account(folder: Path, pem: tuple[str, str]) -> Path:
    (folder / "token").write_text("secret\n")
    (folder / "ca.crt").write_text(pem[0])
    return folder


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
async def test_the_account_of_a_pod(
    host: str, url: str, tmp_path: Path, pem: tuple[str, str]
) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"}
    access = in_cluster(environment, account(tmp_path, pem))
    assert access is not None
    assert access.url == url
    assert await access.credentials.headers() == {"Authorization": "Bearer secret"}
    assert access.tls().verify_mode is ssl.CERT_REQUIRED
    assert access.tls().get_ca_certs()


@pytest.mark.parametrize("environment", [{}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_not_in_a_pod(environment: dict[str, str], tmp_path: Path) -> None:
    assert in_cluster(environment, tmp_path) is None


async def test_a_rotated_token_is_read_at_the_first_401(server: ApiServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    server.token = "old"
    access = Access(server.url, "a test", TokenFile(file))
    async with KubernetesClient(access) as client:
        await client.list(SERVICES)
        server.token = "new"
        file.write_text("new")
        await client.list(SERVICES)
        assert [r.headers["authorization"] for r in server.requests] == [
            "Bearer old",
            "Bearer old",
            "Bearer new",
        ]
        server.token = "newer"
        with pytest.raises(Unauthorized):
            await client.list(SERVICES)


async def test_the_account_is_told_by_its_token(tmp_path: Path) -> None:
    subject = "system:serviceaccount:kube-system:consuldns-sync"
    payload = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).rstrip(b"=").decode()
    jwt = FixedCredentials(f"Bearer e30.{payload}.x")
    assert await Access("", "", jwt).account_name() == subject
    assert await Access("", "", FixedCredentials("Bearer a.b.c")).account_name() == "unknown"
    assert await Access("", "", account="u").account_name() == "u"


# --- kubeconfig ----------------------------------------------------------------------------------


async def test_inline_data(tmp_path: Path, pem: tuple[str, str]) -> None:
    certificate, key = (base64.b64encode(each.encode()).decode() for each in pem)
    path = written(
        tmp_path,
        cluster={
            "certificate-authority-data": certificate,
            "tls-server-name": "kubernetes",
            "proxy-url": "http://proxy:3128",
        },
        user={"client-certificate-data": certificate, "client-key-data": key},
    )
    access = from_kubeconfig([path])
    assert access.authorities == pem[0]
    assert access.server_name == "kubernetes"
    assert access.proxy == "http://proxy:3128"
    assert access.credentials.certificate() == pem
    assert access.tls().get_ca_certs()
    assert access.account == "u"


async def test_files_are_relative_to_the_kubeconfig(tmp_path: Path, pem: tuple[str, str]) -> None:
    for name, content in zip(("ca.pem", "cert.pem", "key.pem"), (pem[0], *pem), strict=True):
        (tmp_path / name).write_text(content)
    (tmp_path / "token").write_text("t")
    path = written(
        tmp_path,
        cluster={"certificate-authority": "ca.pem"},
        user={"client-certificate": "cert.pem", "client-key": "key.pem", "tokenFile": "token"},
    )
    access = from_kubeconfig([path])
    assert access.authorities == pem[0]
    assert access.credentials.certificate() == pem
    assert await access.credentials.headers() == {"Authorization": "Bearer t"}


@pytest.mark.parametrize(
    ("user", "headers"),
    [
        ({"token": "t"}, {"Authorization": "Bearer t"}),
        ({"username": "me", "password": "pass"}, {"Authorization": "Basic bWU6cGFzcw=="}),
        ({}, {}),
    ],
)
async def test_users(user: dict[str, str], headers: dict[str, str], tmp_path: Path) -> None:
    access = from_kubeconfig([written(tmp_path, cluster={}, user=user)])
    assert await access.credentials.headers() == headers


def test_insecure(tmp_path: Path) -> None:
    access = from_kubeconfig([written(tmp_path, cluster={"insecure-skip-tls-verify": True})])
    assert access.tls().verify_mode is ssl.CERT_NONE


YAML = """\
apiVersion: v1
kind: Config
current-context: blue
clusters:
- name: blue
  cluster:
    server: https://blue.example.com:6443/
- cluster: {server: "https://green.example.com"}
  name: green
contexts:
- context:
    cluster: blue
    user: admin
    namespace: ignored
  name: blue
- context: {cluster: green, user: admin}
  name: green
users:
- name: admin
  user:
    token: first
preferences: {}
"""


async def test_yaml_several_files_and_the_first_wins(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(YAML)
    two.write_text(YAML.replace("first", "second").replace("context: blue", "context: green", 1))
    absent = tmp_path / "absent"
    access = from_kubeconfig([absent, one, two])
    assert access.url == "https://blue.example.com:6443"
    assert await access.credentials.headers() == {"Authorization": "Bearer first"}
    assert from_kubeconfig([two, one]).url == "https://green.example.com"
    assert from_kubeconfig([one], "green").url == "https://green.example.com"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "no current context"),
        ("current-context: x", "there is no context 'x'"),
        ("[1", "not a kubeconfig"),
        ("current-context: [1]", "not a kubeconfig"),
        (YAML.replace("blue.example.com:6443/", ""), "has no cluster with a server"),
        (YAML.replace("    token: first", "    auth-provider: {name: gcp}"), "auth-provider"),
        (YAML.replace("    token: first", "    client-certificate: x"), "cannot read"),
        (YAML.replace("    token: first", "    client-certificate-data: '!'"), "base64"),
    ],
)
def test_bad_kubeconfigs(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(content.replace("server: https://\n", "server: ''\n"))
    with pytest.raises(ConfigError, match=problem):
        from_kubeconfig([path])


def test_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such kubeconfig"):
        from_kubeconfig([tmp_path / "none"])


# --- exec plugins --------------------------------------------------------------------------------


def plugin(folder: Path, script: str) -> str:
    """A program beside the kubeconfig; it appends to `calls` each time."""
    path = folder / "plugin"
    path.write_text(f'#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" >> {folder}/calls\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return "./plugin"


def exec_user(
    folder: Path, output: dict[str, Any], version: str = "v1", **more: Any
) -> dict[str, Any]:
    api = f"client.authentication.k8s.io/{version}"
    document = {"apiVersion": api, "kind": "ExecCredential", **output}
    (folder / "output").write_text(json.dumps(document))
    command = plugin(folder, f"cat {folder}/output")
    return {"exec": {"apiVersion": api, "command": command, **more}}


def calls(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_an_exec_plugin_gives_a_token(
    version: str, server: ApiServer, tmp_path: Path
) -> None:
    server.token = "from-plugin"
    user = exec_user(
        tmp_path,
        {"status": {"token": "from-plugin"}},
        version,
        provideClusterInfo=True,
        interactiveMode="Never",
        env=[{"name": "X", "value": "y"}],
    )
    path = written(tmp_path, cluster={"server": server.url}, user=user)
    access = from_kubeconfig([path])
    assert await listed(access) == 1
    assert await listed(access) == 1
    (info,) = calls(tmp_path)  # asked once, kept
    assert info["apiVersion"] == f"client.authentication.k8s.io/{version}"
    assert info["kind"] == "ExecCredential"
    assert info["spec"]["interactive"] is False
    assert info["spec"]["cluster"]["server"] == server.url


async def test_an_exec_plugin_does_not_get_our_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "hunter2")
    monkeypatch.setenv("CONSULDNS_CONSUL_HTTP_AUTH", "user:hunter2")
    monkeypatch.setenv("AWS_PROFILE", "needed")
    user = exec_user(tmp_path, {"status": {"token": "t"}}, env=[{"name": "X", "value": "y"}])
    (tmp_path / "plugin").write_text(f"#!/bin/sh\nenv > {tmp_path}/env\ncat {tmp_path}/output\n")
    access = from_kubeconfig([written(tmp_path, cluster={}, user=user)])
    await access.credentials.headers()
    given = (tmp_path / "env").read_text()
    assert "AWS_PROFILE=needed" in given
    assert "X=y" in given
    assert "hunter2" not in given


async def test_an_exec_plugin_is_asked_again_at_a_401(server: ApiServer, tmp_path: Path) -> None:
    server.token = "one"
    user = exec_user(tmp_path, {"status": {"token": "one"}})
    access = from_kubeconfig([written(tmp_path, cluster={"server": server.url}, user=user)])
    assert await listed(access) == 1
    server.token = "two"
    exec_user(tmp_path, {"status": {"token": "two"}})
    assert await listed(access) == 1
    assert len(calls(tmp_path)) == 2


async def test_an_exec_plugins_credentials_expire(server: ApiServer, tmp_path: Path) -> None:
    expired = {"token": "t", "expirationTimestamp": "2020-01-01T00:00:00Z"}
    user = exec_user(tmp_path, {"status": expired})
    access = from_kubeconfig([written(tmp_path, cluster={"server": server.url}, user=user)])
    assert await listed(access) == 1
    assert await listed(access) == 1
    assert len(calls(tmp_path)) == 2


async def test_an_exec_plugin_gives_a_certificate(tmp_path: Path, pem: tuple[str, str]) -> None:
    status = {"clientCertificateData": pem[0], "clientKeyData": pem[1]}
    user = exec_user(tmp_path, {"status": status})
    access = from_kubeconfig([written(tmp_path, cluster={}, user=user)])
    assert await access.credentials.headers() == {}
    assert access.credentials.certificate() == pem
    access.tls()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo nonsense", "did not write an ExecCredential"),
        ("echo sorry >&2; exit 3", r"failed \(3\): sorry"),
        ("head -c 2000000 /dev/zero", "wrote more than 1048576 octets"),
        ("head -c 2000000 /dev/zero >&2", "wrote more than 1048576 octets"),
        ("exec cat /dev/zero", "did not finish within 0.5 s"),
        ('echo \'{"apiVersion": "other", "kind": "ExecCredential"}\'', "wrote 'other'"),
        (
            'echo \'{"apiVersion": "client.authentication.k8s.io/v1", "status": {}}\'',
            "neither a token nor a certificate",
        ),
    ],
)
async def test_bad_exec_plugins(
    script: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script.startswith("exec"):
        monkeypatch.setattr("consuldns.sync.kubernetes.exec_credentials.LONGEST_RUN", 0.5)
    command = plugin(tmp_path, script)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command}}
    access = from_kubeconfig([written(tmp_path, cluster={}, user=user)])
    assert isinstance(access.credentials, ExecCredentials)
    with pytest.raises(ConfigError, match=problem):
        await access.credentials.headers()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "v1alpha1"),
        ({"interactiveMode": "Always"}, "terminal"),
    ],
)
def test_exec_plugins_that_cannot_be(change: dict[str, str], problem: str, tmp_path: Path) -> None:
    user = exec_user(tmp_path, {})
    user["exec"] |= change
    with pytest.raises(ConfigError, match=problem):
        from_kubeconfig([written(tmp_path, cluster={}, user=user)])


async def test_a_missing_exec_plugin_comes_with_its_hint(tmp_path: Path) -> None:
    given = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "no-such-program",
        "installHint": "install it",
    }
    access = from_kubeconfig([written(tmp_path, cluster={}, user={"exec": given})])
    with pytest.raises(ConfigError, match="install it"):
        await access.credentials.headers()


# --- which of them -------------------------------------------------------------------------------


def test_a_plain_url_wins(tmp_path: Path) -> None:
    settings = SyncSettings(kube_api="http://127.0.0.1:8001/", kubeconfig=str(tmp_path / "none"))
    access = find_access(settings)
    assert access.url == plain_url("http://127.0.0.1:8001").url == "http://127.0.0.1:8001"
    assert isinstance(access.credentials, NoCredentials)


def test_no_way_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="Kubernetes API is not configured"):
        find_access(SyncSettings())


# --- what is replaced while we run ---------------------------------------------------------------


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


USERS: dict[str, Callable[[str, tuple[str, str], Path], dict[str, Any]]] = {
    "token": lambda word, _pem, _folder: {"token": word},
    "password": lambda word, _pem, _folder: {"username": "u", "password": word},
    "certificate-data": lambda _word, pem, _folder: {
        "client-certificate-data": encoded(pem[0]),
        "client-key-data": encoded(pem[1]),
    },
    "exec": lambda word, _pem, folder: exec_user(folder, {"status": {"token": word}}),
    "token-file": lambda word, _pem, folder: {"tokenFile": put(folder / "token", word)},
    "certificate-file": lambda _word, pem, folder: {
        "client-certificate": put(folder / "c.pem", pem[0]),
        "client-key": put(folder / "k.pem", pem[1]),
    },
}


def put(path: Path, content: str) -> str:
    path.write_text(content)
    return str(path)


@pytest.mark.parametrize("before", USERS)
@pytest.mark.parametrize("after", USERS)
async def test_credentials_are_read_again_at_a_401(
    before: str,
    after: str,
    server: ApiServer,
    tmp_path: Path,
    pem: tuple[str, str],
    other_pem: tuple[str, str],
) -> None:
    """Whatever a user had, and whatever it has now."""
    cluster = {"server": server.url}
    path = written(tmp_path, cluster=cluster, user=USERS[before]("old", pem, tmp_path))
    async with KubernetesClient(from_kubeconfig([path])) as client:
        await client.list(SERVICES)
        written(tmp_path, cluster=cluster, user=USERS[after]("new", other_pem, tmp_path))

        async def refuse(request: Request) -> None:
            await request.status(401, "Unauthorized", "Unauthorized")

        server.next(refuse)
        await client.list(SERVICES)
        expected = from_kubeconfig([path]).credentials
        assert await client.access.credentials.headers() == await expected.headers()
        assert client.access.credentials.certificate() == expected.certificate()
        sent = server.requests[-1].headers.get("authorization", "")
        assert sent == (await expected.headers()).get("Authorization", "")


async def test_a_401_that_stays_names_context_and_file(server: ApiServer, tmp_path: Path) -> None:
    server.token = "right"
    path = written(tmp_path, cluster={"server": server.url}, user={"token": "wrong"})
    async with KubernetesClient(from_kubeconfig([path])) as client:
        with pytest.raises(Unauthorized) as caught:
            await client.list(SERVICES)
        assert f"{server.url}/api/v1/services: 401" in str(caught.value)
        assert f"the credentials of context 'x' of {path}" in str(caught.value)
        path.write_text("{")  # somebody is writing it
        with pytest.raises(Unauthorized, match="cannot be read again"):
            await client.list(SERVICES)
        written(tmp_path, cluster={"server": server.url}, user={"token": "right"})
        await client.list(SERVICES)


async def test_a_context_is_kept_although_another_becomes_current(
    server: ApiServer, tmp_path: Path
) -> None:
    path = written(tmp_path, cluster={"server": server.url}, user={"token": "mine"})
    access = from_kubeconfig([path])
    document = json.loads(path.read_text())
    document["users"].append({"name": "v", "user": {"token": "of another"}})
    document["contexts"].append({"name": "y", "context": {"cluster": "c", "user": "v"}})
    path.write_text(json.dumps(document | {"current-context": "y"}))
    assert await access.renewed().credentials.headers() == {"Authorization": "Bearer mine"}


async def test_a_watch_goes_on_while_the_certificate_is_replaced(
    server: ApiServer, tmp_path: Path, pem: tuple[str, str], other_pem: tuple[str, str]
) -> None:
    cluster = {"server": server.url}
    user = USERS["certificate-data"]("", pem, tmp_path)
    path = written(tmp_path, cluster=cluster, user=user)
    async with KubernetesClient(from_kubeconfig([path])) as client:
        listed_ = await client.list(SERVICES)
        watch = client.watch(SERVICES, listed_.version, seconds=60, silence=60)
        assert (await anext(watch)).type == "OPENED"
        written(tmp_path, cluster=cluster, user=USERS["certificate-data"]("", other_pem, tmp_path))

        async def refuse(request: Request) -> None:
            await request.status(401, "Unauthorized", "Unauthorized")

        server.next(refuse)
        await client.list(SERVICES)
        server.put("services", service("b", "10.0.0.2"))
        assert (await anext(watch)).type == "ADDED"
        await watch.aclose()


@contextlib.asynccontextmanager
async def behind_tls(
    port: int, own: tuple[str, str], trusted: str, folder: Path
) -> AsyncIterator[str]:
    """A URL that leads to a port by TLS, for those who have a certificate that is trusted."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=trusted)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(put(folder / "server.pem", own[0] + own[1]))
    pumps: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, inner_writer))
        pumps.update(
            asyncio.create_task(pump(*each))
            for each in ((reader, inner_writer), (inner_reader, writer))
        )

    listener = await asyncio.start_server(connected, "127.0.0.1", ssl=context)
    try:
        yield f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for each in pumps:
            each.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(w.wait_closed() for w in writers), return_exceptions=True)


async def test_a_certificate_that_tls_refuses_is_read_again(
    server: ApiServer, tmp_path: Path, pem: tuple[str, str], other_pem: tuple[str, str]
) -> None:
    """Ours, and the authority by which we trust the server."""
    async with behind_tls(server.port, other_pem, other_pem[0], tmp_path) as url:

        def configure(authority: str, certificate: tuple[str, str]) -> Path:
            data = {"certificate-authority-data": encoded(authority), "server": url}
            user = USERS["certificate-data"]("", certificate, tmp_path)
            return written(tmp_path, cluster=data, user=user)

        path = configure(pem[0], pem)
        async with KubernetesClient(from_kubeconfig([path])) as client:
            with pytest.raises(Unreachable, match="certificate verify failed"):
                await client.list(SERVICES)
            configure(other_pem[0], pem)
            for _ in range(2):  # one to notice, one with another certificate that is refused
                with pytest.raises(Unreachable):
                    await client.list(SERVICES)
            configure(other_pem[0], other_pem)
            with pytest.raises(Unreachable):
                await client.list(SERVICES)
            assert len((await client.list(SERVICES)).objects) == 1


async def test_a_server_that_moved_is_found(server: ApiServer, tmp_path: Path) -> None:
    path = written(tmp_path, cluster={"server": "http://127.0.0.1:1"})
    async with KubernetesClient(from_kubeconfig([path])) as client:
        written(tmp_path, cluster={"server": server.url})
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 is unreachable"):
            await client.list(SERVICES)
        assert len((await client.list(SERVICES)).objects) == 1


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({"server": "http://[::"}, {}),
        ({"server": "http://127.0.0.1:1", "proxy-url": "nonsense://x"}, {}),
        ({"certificate-authority-data": encoded("no PEM")}, {}),
        ({}, {"token": "schl\u00fcssel\u2028"}),
        ({}, {"client-certificate-data": encoded("x"), "client-key-data": encoded("y")}),
    ],
)
async def test_what_cannot_be_used_is_a_mistake_in_the_file(
    cluster: dict[str, str], user: dict[str, str], tmp_path: Path
) -> None:
    path = written(tmp_path, cluster=cluster, user=user)
    with pytest.raises((ConfigError, Unreachable)):
        await listed(from_kubeconfig([path]))
