"""What clients see while a cluster changes: through worker, Consul and server, all of them real.

The cases of the acceptance list that are about time; how long a change takes is measured by
benchmarks.sync.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kubernetes.api_server import Object
from tests.kubernetes.catalog import keys, services
from tests.kubernetes.clusters import ScriptedCluster, scripted
from tests.kubernetes.conftest import Cluster, StartWorker
from tests.kubernetes.objects import endpoint, service, slice_
from tests.support.ask import answers, ask, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

HTTP = [{"name": "http", "protocol": "TCP", "port": 80}]
OWN_ZONE = '[dns.kubernetes.zones]\n"cluster.local" = "kubernetes"\n'


def headless(name: str, *addresses: str) -> tuple[Object, Object]:
    """A headless service with ready endpoints, and the slice that they are in."""
    ready = [endpoint(address, pod=f"{name}-{address}") for address in addresses]
    return service(name, "None", ports=HTTP), slice_(name, *ready, ports=HTTP)


def test_52_nothing_is_denied_of_a_cluster_that_is_not_synced(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1"))
    with Serve(consul.url, config=OWN_ZONE) as serve:
        for name in ("web", "missing"):
            wait_for_answer(serve.port, f"{name}.default.svc.cluster.local.", "A", "SERVFAIL")
        start_worker()
        wait_for_answer(serve.port, "web.default.svc.cluster.local.", "A", "10.254.1.1")
        wait_for_answer(serve.port, "missing.default.svc.cluster.local.", "A", "NXDOMAIN")


def test_62_a_new_service_is_found(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    start_worker().wait_for_line("read from Consul")
    with Serve(consul.url) as serve:
        endpoint_name = "172-16-0-7.es.default.svc.dc1.consul."
        wait_for_answer(serve.port, endpoint_name, "A", "NXDOMAIN")
        new, its_slice = headless("es", "172.16.0.7")
        kubernetes.put("services", service("web", "10.254.1.1", ports=HTTP))
        kubernetes.put("services", new)
        kubernetes.put("endpointslices", its_slice)
        web = "web.default.svc.dc1.consul."
        wait_for_answer(serve.port, web, "A", "10.254.1.1")
        wait_for_answer(serve.port, f"_http._tcp.{web}", "SRV", f"0 100 80 {web}")
        wait_for_answer(serve.port, "es.default.svc.dc1.consul.", "A", "172.16.0.7")
        wait_for_answer(serve.port, endpoint_name, "A", "172.16.0.7")
        wait_for_answer(serve.port, "1.1.254.10.in-addr.arpa.", "PTR", "web.service.dc1.consul.")


def test_64_a_service_that_is_deleted_is_denied(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    start_worker()
    new, its_slice = headless("es", "172.16.0.7")
    kubernetes.put("services", service("web", "10.254.1.1", ports=HTTP))
    kubernetes.put("services", new)
    kubernetes.put("endpointslices", its_slice)
    found = [
        ("web.service.consul.", "A", "10.254.1.1"),
        ("web.default.svc.dc1.consul.", "A", "10.254.1.1"),
        ("_http._tcp.web.default.svc.dc1.consul.", "SRV", "0 100 80 web.default.svc.dc1.consul."),
        ("1.1.254.10.in-addr.arpa.", "PTR", "web.service.dc1.consul."),
        ("es.default.svc.dc1.consul.", "A", "172.16.0.7"),
        ("172-16-0-7.es.default.svc.dc1.consul.", "A", "172.16.0.7"),
        ("7.0.16.172.in-addr.arpa.", "PTR", "es.service.dc1.consul."),
    ]
    with Serve(consul.url) as serve:
        for name, type_, data in found:
            wait_for_answer(serve.port, name, type_, data)
        kubernetes.delete("services", "web")
        kubernetes.delete("services", "es")
        kubernetes.delete("endpointslices", "es-1")
        for name, type_, _ in found:
            wait_for_answer(serve.port, name, type_, "NXDOMAIN")
            (authority,) = ask(serve.port, name, type_).authority
            assert authority.rdtype.name == "SOA"
        assert keys(consul, "0.1.254.10.") == keys(consul, "0.0.16.172.") == {}
        assert not {"web", "es"} & services(consul)  # a real API server has a service of its own


# --- 65: an address that changes hands within one batch has a name all the time ------------------

Move = Callable[[ScriptedCluster], None]


class Lookups:
    """Asks for a reverse name without a pause, and keeps every reply: the rcode, or the names."""

    def __init__(self, port: int, name: str) -> None:
        self.seen: list[str] = []
        self._port, self._name = port, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            reply = ask(self._port, self._name, "PTR", timeout=10)
            self.seen.append(" ".join(sorted(answers(reply))) or rcode(reply))

    @contextmanager
    def running(self) -> Iterator[None]:
        """While this lasts, questions are asked."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


def in_one_batch(kubernetes: ScriptedCluster, move: Move) -> None:
    """What happens while the API server is out of reach is told by one list at its return."""
    kubernetes.stop()
    move(kubernetes)
    kubernetes.compact()
    kubernetes.start()


def another_service_is_made(kubernetes: ScriptedCluster) -> None:
    kubernetes.delete("services", "first")
    kubernetes.put("services", service("second", "10.254.1.1"))


def two_services_are_made_anew(kubernetes: ScriptedCluster) -> None:
    kubernetes.put("services", service("first", "10.254.1.2", uid="made-anew"))
    kubernetes.put("services", service("second", "10.254.1.1", uid="made-anew"))


def another_slice_is_made(kubernetes: ScriptedCluster) -> None:
    kubernetes.delete("endpointslices", "es-1")
    kubernetes.put("endpointslices", headless("db", "172.16.0.8", "10.254.1.1")[1])


def an_endpoint_moves(kubernetes: ScriptedCluster) -> None:
    kubernetes.put("endpointslices", headless("es", "172.16.0.7")[1])
    kubernetes.put("endpointslices", headless("db", "172.16.0.8", "10.254.1.1")[1])


VIPS = {"services": [service("first", "10.254.1.1"), service("second", "10.254.1.9")]}
PODS = {
    "services": [headless("es")[0], headless("db")[0]],
    "endpointslices": [
        headless("es", "172.16.0.7", "10.254.1.1")[1],
        headless("db", "172.16.0.8")[1],
    ],
}
NESTED = 'reverse_target = "nested"'


@pytest.mark.parametrize(
    ("before", "move", "setting", "old", "new"),
    [
        pytest.param(VIPS, another_service_is_made, "", "first", "second", id="made-by-key"),
        pytest.param(VIPS, two_services_are_made_anew, "", "first", "second", id="moved-by-key"),
        pytest.param(PODS, another_slice_is_made, NESTED, "es", "db", id="slice-made-by-key"),
        pytest.param(PODS, an_endpoint_moves, NESTED, "es", "db", id="endpoint-moved-by-key"),
        pytest.param(PODS, an_endpoint_moves, "", "es", "db", id="endpoint-moved-by-flat-key"),
    ],
)
def test_65_an_address_that_changes_hands_has_a_name_all_the_time(
    before: dict[str, list[Object]],
    move: Move,
    setting: str,
    old: str,
    new: str,
    consul: ConsulAgent,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    config = tmp_path / "consuldns.toml"
    config.write_text(f"[sync]\n{setting}\n")
    names = {
        each: {
            f"{each}.service.dc1.consul.",
            f"{each}.default.svc.dc1.consul.",
            f"10-254-1-1.{each}.default.svc.dc1.consul.",
        }
        for each in (old, new)
    }
    pointer = "1.1.254.10.in-addr.arpa."
    with scripted() as kubernetes, Serve(consul.url) as serve:
        for resource, objects in before.items():
            for object_ in objects:
                kubernetes.put(resource, object_)
        start_worker("--config", str(config), of=kubernetes)

        def name() -> set[str]:
            return answers(ask(serve.port, pointer, "PTR"))

        wait_until(lambda: name() <= names[old] and bool(name()), f"{old} has the address")
        lookups = Lookups(serve.port, pointer)
        with lookups.running():
            in_one_batch(kubernetes, move)
            wait_until(lambda: bool(name()) and name() <= names[new], f"{new} has the address", 30)
            # What was taken from the old service has been written too, when this is there.
            kubernetes.put("services", service("later", "10.254.1.100"))
            wait_until(lambda: "later" in services(consul), "the next batch")
    assert set(lookups.seen) <= names[old] | names[new]
    assert lookups.seen[0] in names[old]
    assert lookups.seen[-1] in names[new]


def test_a_slice_of_another_namespace_names_no_address(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    def pod(address: str, name: str, namespace: str) -> Object:
        return endpoint(address, pod=name, namespace=namespace)

    start_worker()
    quiz, silent = "30.1.244.10.in-addr.arpa.", "9.1.254.10.in-addr.arpa."
    kubernetes.put("services", service("quiz", "None", namespace="web"))
    of_quiz = slice_("quiz", pod("10.244.1.30", "quiz-1", "web"), namespace="web")
    kubernetes.put("endpointslices", of_quiz)
    no = {"consuldns/service-reverse": "false"}
    kubernetes.put("services", service("silent", "10.254.1.9", namespace="web", annotations=no))
    with Serve(consul.url) as serve:
        wait_for_answer(serve.port, quiz, "PTR", "quiz.service.dc1.consul.")
        kubernetes.put("services", service("aaa", "None", namespace="shop"))
        claims = [pod(each, "aaa-1", "shop") for each in ("10.244.1.30", "203.0.113.77")]
        thief = slice_("aaa", *claims, namespace="shop", managed=False)
        kubernetes.put("endpointslices", thief)
        wait_until(
            lambda: (
                answers(ask(serve.port, "aaa.service.consul.")) == {"10.244.1.30", "203.0.113.77"}
            ),
            "the other service in the DNS",
        )
        wait_for_answer(serve.port, quiz, "PTR", "NXDOMAIN")
        wait_for_answer(serve.port, "silent.service.consul.", "A", "10.254.1.9")
        assert rcode(ask(serve.port, silent, "PTR")) == "NXDOMAIN"
        for type_ in ("PTR", "SOA", "ANY"):
            assert rcode(ask(serve.port, "77.113.0.203.in-addr.arpa.", type_)) == "REFUSED"
        assert rcode(ask(serve.port, "1.2.0.192.in-addr.arpa.", "PTR")) == "REFUSED"


def test_an_external_name_into_the_cluster_leads_to_a_zone_that_is_served(
    consul: ConsulAgent, kubernetes: Cluster, start_worker: StartWorker
) -> None:
    start_worker()
    kubernetes.put("services", service("db", "10.254.2.1", namespace="prod"))
    target = "db.prod.svc.cluster.local"
    kubernetes.put(
        "services", service("alias", namespace="app", type="ExternalName", externalName=target)
    )

    def wait_for_alias(serve: Serve, name: str, target: str) -> None:
        wait_until(lambda: answers(ask(serve.port, name)) == {target, "10.254.2.1"}, name)

    with Serve(consul.url) as serve:
        wait_for_alias(serve, "alias.app.svc.dc1.consul.", "db.prod.svc.dc1.consul.")
        wait_for_alias(serve, "alias.service.consul.", "db.prod.svc.dc1.consul.")
    with Serve(consul.url, config=OWN_ZONE) as serve:
        wait_for_alias(serve, "alias.app.svc.cluster.local.", "db.prod.svc.cluster.local.")
