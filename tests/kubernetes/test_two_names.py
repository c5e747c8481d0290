"""One cluster under two names, its rename, its replacement, and its upgrade, on a real Consul."""

import json
import os
import pty
import subprocess
import sys

from consuldns.sync.ownership import flags, unnamed_flags
from tests.kubernetes.catalog import addresses, keys, services
from tests.kubernetes.clusters import scripted
from tests.kubernetes.conftest import Cluster, StartWorker
from tests.kubernetes.objects import service
from tests.kubernetes.test_consul_k8s import always_there
from tests.kubernetes.test_end_to_end import sync
from tests.support.consul_agent import ConsulAgent, wait_until

REVERSE = "0.1.254.10.IN-ADDR.ARPA/10.254.1.1"
NODE = "/v1/catalog/node/k8s-kubernetes"


def flags_of(consul: ConsulAgent, prefix: str) -> dict[str, int]:
    reply = consul.client.get(f"/v1/kv/{prefix}", params={"recurse": ""})
    entries = reply.json() if reply.status_code == 200 else []
    return {entry["Key"]: entry["Flags"] for entry in entries}


def stays_so(consul: ConsulAgent, prefix: str) -> bool:
    """Wait as long as Consul does for a change below a prefix; whether there was none."""
    keys_only = {"keys": ""}
    index = consul.client.get(f"/v1/kv/{prefix}", params=keys_only).headers["X-Consul-Index"]
    waiting = {**keys_only, "index": index, "wait": "3s"}
    reply = consul.client.get(f"/v1/kv/{prefix}", params=waiting, timeout=30)
    return reply.headers["X-Consul-Index"] == index


def test_one_cluster_under_two_names(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    kubernetes.put("services", service("api", "10.254.1.2"))
    old = start_worker("--cluster", "old")
    wait_until(lambda: {"web", "api"} <= services(consul), "the first name")
    start_worker("--cluster", "new")
    wait_until(lambda: {"web-default", "api-default"} <= services(consul), "the second name")
    assert stays_so(consul, "0.")
    assert stays_so(consul, "consuldns/k8s-names/")
    assert keys(consul, "0.")[REVERSE] == "web.service.dc1.consul"
    claims = keys(consul, "consuldns/k8s-names/")
    old.stop()
    done = sync("purge", "--cluster", "old", "--consul-addr", consul.url)
    assert done.returncode == 0, done.stderr
    wait_until(
        lambda: keys(consul, "0.").get(REVERSE) == "web-default.service.dc1.consul",
        "the reverse key taken over",
        5,
    )
    assert addresses(consul, "web-default") == {"10.254.1.1"}
    assert not services(consul) & {"web", "api"}
    assert keys(consul, "consuldns/k8s-names/") == {
        path: value for path, value in claims.items() if value.startswith("new/")
    }
    assert keys(consul, "consuldns/k8s/old/") == {}


def test_a_cluster_is_renamed_without_a_gap(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    """As docs/kubernetes.md says: the new name shares the flat names until the old one is gone."""
    kubernetes.put("services", service("web", "10.254.1.1"))
    old = start_worker("--cluster", "old")
    wait_until(lambda: "web" in services(consul), "the old name")
    merge = {**os.environ, "CONSULDNS_SYNC_FLAT_NAMES": "merge"}
    with always_there(consul, "web"):
        new = start_worker("--cluster", "new", environment=merge)
        wait_until(lambda: nodes_of(consul, "web") == {"k8s-old", "k8s-new"}, "both")
        old.stop()
        done = sync("purge", "--cluster", "old", "--consul-addr", consul.url)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: nodes_of(consul, "web") == {"k8s-new"}, "the new one alone")
        wait_until(lambda: REVERSE in keys(consul, "0."), "the reverse key taken over", 5)
        new.stop()
        start_worker("--cluster", "new")
        claim = "consuldns/k8s-names/web"
        wait_until(lambda: keys(consul, claim) == {claim: "new/default/web"}, "the name claimed")
    assert addresses(consul, "web") == {"10.254.1.1"}


def nodes_of(consul: ConsulAgent, name: str) -> set[str]:
    return {each["Node"] for each in consul.client.get(f"/v1/catalog/service/{name}").json()}


def test_what_an_earlier_version_wrote_is_taken_over(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    kubernetes.put("services", service("gone", "10.254.1.2"))
    worker = start_worker()
    wait_until(lambda: "gone" in services(consul), "the services")
    worker.stop()
    uid = consul.client.get(NODE).json()["Node"]["Meta"]["consuldns-cluster-uid"]
    for prefix in ("0.", "consuldns/k8s-names/"):
        for path, value in keys(consul, prefix).items():
            old = {"flags": str(unnamed_flags(uid))}
            consul.client.put(f"/v1/kv/{path}", content=value, params=old).raise_for_status()
    kubernetes.delete("services", "gone")
    start_worker()
    wait_until(lambda: "gone" not in services(consul), "the service that went meanwhile")
    wait_until(
        lambda: (
            set((flags_of(consul, "0.") | flags_of(consul, "consuldns/k8s-names/")).values())
            == {flags(uid, "kubernetes")}
        ),
        "all of it under the new mark",
    )
    assert "0.1.254.10.IN-ADDR.ARPA/10.254.1.2" not in keys(consul, "0.")


def test_diff_shows_what_adopting_would_remove(consul: ConsulAgent, kubernetes: Cluster) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    assert sync("once", "--consul-addr", consul.url, *kubernetes.arguments).returncode == 0
    before = keys(consul)
    with scripted(uid="uid-of-the-rebuilt-cluster") as rebuilt:
        rebuilt.put("services", service("other", "10.99.1.1"))
        both = ("--consul-addr", consul.url, *rebuilt.arguments)
        done = sync("diff", "--verbose", *both)
        assert done.returncode == 1
        assert "'consuldns sync diff --adopt' shows" in done.stderr
        done = sync("diff", "--verbose", "--adopt", *both)
        assert done.returncode == 20
        assert f"- remove {REVERSE}" in done.stdout
        assert "- remove consuldns/k8s-names/web" in done.stdout
        assert "+ set instance kubernetes/default/other" in done.stdout
        assert keys(consul) == before
        assert sync("once", "--adopt", *both).returncode == 0
        assert sync("diff", "--verbose", *both).returncode == 0
    status = json.loads(sync("status", "--json", "--consul-addr", consul.url).stdout)
    assert status["uid"] == "uid-of-the-rebuilt-cluster"
    assert len(status["former"]) == 1


def test_a_cluster_without_its_node_is_known_by_its_record(
    consul: ConsulAgent, kubernetes: Cluster
) -> None:
    """Somebody removed the node, and the cluster was rebuilt: nothing is left without an owner."""
    kubernetes.put("services", service("web", "10.254.1.1"))
    assert sync("once", "--consul-addr", consul.url, *kubernetes.arguments).returncode == 0
    consul.put("/v1/catalog/deregister", {"Node": "k8s-kubernetes"})
    status = json.loads(sync("status", "--json", "--consul-addr", consul.url).stdout)
    assert (status["instances"], status["names"] > 0) == (0, True)
    with scripted(uid="uid-of-the-rebuilt-cluster") as rebuilt:
        rebuilt.put("services", service("web", "10.254.1.1"))
        both = ("--consul-addr", consul.url, *rebuilt.arguments)
        for command in ("diff", "once"):
            done = sync(command, *both)
            assert done.returncode == 1
            assert "belongs to another cluster" in done.stderr
        assert sync("once", "--adopt", *both).returncode == 0
        assert sync("diff", *both).returncode == 0
        assert addresses(consul, "web") == {"10.254.1.1"}
        assert set(flags_of(consul, "0.").values()) == {
            flags("uid-of-the-rebuilt-cluster", "kubernetes")
        }
    consul.put("/v1/catalog/deregister", {"Node": "k8s-kubernetes"})
    assert sync("purge", "--consul-addr", consul.url).returncode == 0
    assert keys(consul, "consuldns/") == {}
    assert REVERSE not in keys(consul, "0.")


def test_status_on_a_terminal_is_a_table(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    worker = start_worker()
    wait_until(lambda: "web" in services(consul), "the service")
    found = json.loads(sync("status", "--json", "--consul-addr", consul.url).stdout)
    assert isinstance(found["leader"]["pid"], int)
    table = on_a_terminal("sync", "status", "--consul-addr", consul.url)
    rows = dict(line.split("  ", 1) for line in table.splitlines())
    assert rows["cluster"].strip() == "kubernetes"
    leader = found["leader"]
    assert rows["leader"].strip() == f"process {leader['pid']} on {leader['host']}"
    assert rows["instances"].strip() == str(found["instances"])
    assert "{" not in table
    worker.stop()
    assert "no worker runs" in on_a_terminal("sync", "status", "--consul-addr", consul.url)


def on_a_terminal(*arguments: str) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "consuldns", *arguments]
    with subprocess.Popen(command, stdout=theirs) as process:
        os.close(theirs)
        printed = b""
        while chunk := _read(ours):
            printed += chunk
        process.wait()
    os.close(ours)
    return printed.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # Linux: the other end is closed
        return b""


def test_a_purge_leaves_instances_of_others_on_the_node(
    consul: ConsulAgent, kubernetes: Cluster
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    assert sync("once", "--consul-addr", consul.url, *kubernetes.arguments).returncode == 0
    foreign = {"ID": "mine", "Service": "mine", "Address": "192.0.2.9"}
    node = {"Node": "k8s-kubernetes", "Address": "192.0.2.1", "SkipNodeUpdate": True}
    consul.put("/v1/catalog/register", {**node, "Service": foreign})
    done = sync("purge", "--consul-addr", consul.url)
    assert done.returncode == 0
    assert "kept node k8s-kubernetes" in done.stderr
    assert services(consul) == {"mine"}
