"""Nested names from a real Consul through the real server, and through a real resolver."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import dns.exception
import pytest

from tests.support import kubernetes_data
from tests.support.ask import answers, ask, extended_errors, rcode, wait_for_answer
from tests.support.consul_agent import REPOSITORY, ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import PROGRAM, Serve
from tests.support.replies import expected, read
from tests.support.scenarios import Scenario, scenarios

CONFIG = """
[dns.kubernetes.zones]
"cluster.local" = "kubernetes"
"""


def write(agent: ConsulAgent, scenario: Scenario) -> None:
    """Put a scenario's catalog into a Consul."""
    for payload in scenario.catalog.register:
        agent.put("/v1/catalog/register", payload)
    for key, value in scenario.catalog.kv.items():
        agent.put(f"/v1/kv/{key}", value)


ONE_CLUSTER = next(each for each in scenarios() if each.name == "kubernetes: one cluster")


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulAgent]:
    with ConsulAgent(config={"log_level": "DEBUG"}) as agent:
        write(agent, ONE_CLUSTER)
        yield agent


@pytest.fixture(scope="module")
def serve(consul: ConsulAgent) -> Iterator[Serve]:
    # One worker, so that what was seen once is seen from then on.
    with Serve(consul.url, workers=1, config=CONFIG) as server:
        yield server


@pytest.mark.parametrize("query", ONE_CLUSTER.queries, ids=lambda query: query["ask"])
def test_acceptance(query: dict[str, Any], serve: Serve) -> None:
    name, type_ = query["ask"].split()
    if type_ not in ("AXFR", "IXFR"):  # dnspython does not ask these like others
        reply = ask(serve.port, name if name.endswith(".") else name + ".", type_, tcp=True)
        assert read(reply) in expected(query, ONE_CLUSTER.policy)


RANDOM = [
    *("?.testns.service.consul.", "?.?.service.consul.", "?.?.?.service.dc1.consul."),
    *("?.testns.svc.dc1.consul.", "?.?.svc.dc1.consul.", "?.hdlsunready.testns.svc.dc1.consul."),
    *("_?._tcp.svc1.testns.svc.dc1.consul.", "?.svc.cluster.local.", "?.?.svc.cluster.local."),
]


def test_random_nested_names_cost_consul_nothing(consul: ConsulAgent, serve: Serve) -> None:
    chance = Random(1)

    def requests() -> list[str]:
        log = consul.log().splitlines()
        return [line for line in log if "agent.http: Request finished" in line]

    def name(form: str) -> str:
        return form.replace("?", f"{chance.getrandbits(48):012x}")

    before = {line.split("url=")[1].split("?")[0].split()[0] for line in requests()}
    for _ in range(200):
        for form in RANDOM:
            assert rcode(ask(serve.port, name(form))) == "NXDOMAIN"
    after = {line.split("url=")[1].split("?")[0].split()[0] for line in requests()}
    # Only what exists is asked for: the instances of a service that is there.
    assert after - before <= {"/v1/health/service/hdlsunready"}


def test_services_come_and_go(consul: ConsulAgent, serve: Serve) -> None:
    service = {
        "namespace": "later",
        "name": "es",
        "headless": True,
        "ports": ["db:TCP:9200"],
        "endpoints": [{"address": "172.9.0.1", "hostname": "es-0"}],
    }
    assert rcode(ask(serve.port, "es.later.svc.dc1.consul.")) == "NXDOMAIN"
    for payload in kubernetes_data.registrations([service]):
        consul.put("/v1/catalog/register", payload)
    for key, value in kubernetes_data.keys([service], []).items():
        if not key.endswith("/meta"):
            consul.put(f"/v1/kv/{key}", value)
    wait_until(lambda: answers(ask(serve.port, "es.later.service.consul.")) == {"172.9.0.1"}, "es")
    assert answers(ask(serve.port, "es-0.es.later.svc.cluster.local.")) == {"172.9.0.1"}
    consul.client.delete("/v1/kv/consuldns/k8s/kubernetes/svc/later/es").raise_for_status()
    wait_until(lambda: rcode(ask(serve.port, "es.later.service.consul.")) == "NXDOMAIN", "gone")
    assert rcode(ask(serve.port, "later.svc.dc1.consul.")) == "NXDOMAIN"


def test_5_the_owner_is_spelt_as_the_client_spelt_it(serve: Serve) -> None:
    for spelling in ("SvC1.TeStNs.SvC.dc1.CONSUL.", "svc1.testns.svc.dc1.consul."):
        reply = ask(serve.port, spelling)
        (rrset,) = reply.answer
        assert (rrset.name.to_text(), rrset.ttl) == (spelling, 5)
        assert answers(reply) == {"10.0.0.100"}


def test_61_a_key_of_somebody_else_is_served(consul: ConsulAgent, serve: Serve) -> None:
    key = "0.70.254.10.IN-ADDR.ARPA/10.254.70.176"
    consul.put(f"/v1/kv/{key}?flags=7", "monitoring-heapster.service.dc1.consul")
    target = "monitoring-heapster.service.dc1.consul."
    wait_for_answer(serve.port, "176.70.254.10.in-addr.arpa.", "PTR", target)


def test_35_the_alias_comes_before_what_it_leads_to(serve: Serve) -> None:
    reply = ask(serve.port, "ext-svc.testns.svc.dc1.consul.")
    assert [rrset.rdtype.name for rrset in reply.answer] == ["CNAME", "A"]


class Unbound:
    """A recursive resolver that asks the server for its zones, label by label."""

    def __init__(self, folder: Path, server_port: int) -> None:
        (self.port,) = free_ports(1)
        zones = ["consul", "cluster.local", "10.in-addr.arpa", "0.1.0.0.0.0.d.f.ip6.arpa"]
        lines = [
            *("server:", 'chroot: ""', 'username: ""', f'directory: "{folder}"', 'pidfile: ""'),
            *("use-syslog: no", f"port: {self.port}", "interface: 127.0.0.1", "do-ip6: no"),
            *("qname-minimisation: yes", "qname-minimisation-strict: yes", "aggressive-nsec: no"),
            *("do-not-query-localhost: no", 'module-config: "iterator"', "unblock-lan-zones: yes"),
            *("harden-below-nxdomain: yes", "num-threads: 1", "do-daemonize: no"),
        ]
        for zone in zones:
            lines += ["stub-zone:", f'name: "{zone}"', f"stub-addr: 127.0.0.1@{server_port}"]
        file = folder / "unbound.conf"
        file.write_text("\n".join(lines))
        self._process = subprocess.Popen(["/usr/sbin/unbound", "-d", "-c", str(file)])

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return rcode(ask(self.port, "consul.service.consul.", timeout=1)) == "NOERROR"
        except dns.exception.DNSException:
            return False

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=20)


@pytest.fixture(scope="module")
def unbound(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    resolver = Unbound(tmp_path_factory.mktemp("unbound"), serve.port)
    try:
        wait_until(resolver.is_ready, "unbound")
        yield resolver
    finally:
        resolver.stop()


RESOLVED = [
    query
    for query in ONE_CLUSTER.queries
    if query["ask"].split()[1] not in ("AXFR", "IXFR", "ANY", "NS", "SOA", "TYPE999")
    and query.get("outcome") != "refused"
]


@pytest.mark.parametrize("query", RESOLVED, ids=lambda query: query["ask"])
def test_a_resolver_that_asks_label_by_label(query: dict[str, Any], unbound: Unbound) -> None:
    name, type_ = query["ask"].split()
    reply = read(ask(unbound.port, name if name.endswith(".") else name + ".", type_))
    wanted = {each[:2] for each in expected(query, ONE_CLUSTER.policy)}
    if query["case"].startswith(("33", "34", "37", "38 SRV", "38 TXT")):
        return  # it follows the alias to names elsewhere, or finds the loop
    assert _without_ttl(reply[:2]) in [_without_ttl(each) for each in wanted]


def _without_ttl(reply: tuple[str, frozenset[str]]) -> tuple[str, frozenset[str]]:
    records = (record.split(" ") for record in reply[1])
    return reply[0], frozenset(" ".join((owner, *rest)) for owner, _, *rest in records)


def test_explain(consul: ConsulAgent, serve: Serve) -> None:
    def explained(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*PROGRAM, "query", *arguments, "--explain"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    server = f"127.0.0.1:{serve.port}"
    told = explained("svc1.testns.service.consul", "--server", server, "--consul-addr", consul.url)
    assert told.returncode == 0, told.stderr
    assert "status: NOERROR" in told.stdout
    assert '* 3. Kubernetes: service "svc1" in namespace "testns"\n' in told.stdout
    assert ";    svc1.testns.service.consul. 5 IN A 10.0.0.100\n" in told.stdout
    # An address needs the index of all services; a server that is not there does not matter.
    (unused,) = free_ports(1)
    given = ["10.0.0.100", "--server", f"127.0.0.1:{unused}", "--consul-addr", consul.url]
    told = explained(*given)
    assert told.returncode == 9
    assert "* 2. a Kubernetes service\n;      svc1.service.dc1.consul.\n" in told.stdout


def test_nested_names_outlive_consul() -> None:
    with ConsulAgent() as consul:
        write(consul, ONE_CLUSTER)
        with Serve(consul.url) as serve:
            known = ["svc1.testns.svc.dc1.consul.", "hdls1.testns.svc.dc1.consul."]
            before = [answers(ask(serve.port, name)) for name in known]
            consul.kill()
            wait_until(lambda: extended_errors(ask(serve.port, known[0])) == [3], "stale")
            assert [answers(ask(serve.port, name)) for name in known] == before
            # Never asked for before: all that there is to say of it is in memory.
            assert answers(ask(serve.port, "svcds.testns.service.consul.")) == {"10.0.0.101"}
            assert rcode(ask(serve.port, "missing.testns.service.consul.")) == "NXDOMAIN"
