"""Forwarding: what upstream servers say, and which of them are believed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import pytest

from consuldns.dns.answer import Address, Outcome, Record
from consuldns.dns.forwarded import ForwardedQuestion, ForwardedReply, MissingReply
from consuldns.dns.policy import ForwardPolicy
from consuldns.forward import forwarder
from consuldns.forward.forwarder import Forwarder
from tests.support.ask import answers, ask, extended_errors, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import Serve
from tests.support.daemon import running
from tests.support.scripted_upstream import BIG, FORGED, ScriptedUpstream

HONEST, OTHER = "198.51.100.1", "198.51.100.2"
LIES = [
    *("wrong-id", "wrong-question", "wrong-type", "not-a-reply", "rubbish", "cut", "loop"),
    *("counts", "wrong-source", "silent", "servfail", "refused", "formerr", "notimp"),
    *("tcp-cut", "truncated-twice"),
]


def config(*upstreams: ScriptedUpstream, **zones: ScriptedUpstream) -> str:
    recursors = ", ".join(f'"127.0.0.1:{each.port}"' for each in upstreams)
    return (
        f'[dns]\nrecursors = [{recursors}]\nrecursor_timeout = "400ms"\n'
        'service_ttl = { "*" = "10s" }\n[dns.forward]\n'
        + "".join(f'"{zone}" = ["127.0.0.1:{each.port}"]\n' for zone, each in zones.items())
    )


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulAgent]:
    with ConsulAgent() as agent:
        for service, address in (
            ("web", "10.0.0.7"),
            ("elb", "web.elb.test"),
            ("alias", "alias.elb.test"),
            ("gone", "missing.elb.test"),
            ("broken", "servfail.elb.test"),
        ):
            registered = {"Service": service, "Address": address, "Port": 443}
            payload = {"Node": "n", "Address": "10.0.0.1", "Service": registered}
            agent.put("/v1/catalog/register", payload)
        yield agent


@pytest.fixture(scope="module")
def liar() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(HONEST) as server:
        yield server


@pytest.fixture(scope="module")
def honest() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(OTHER, honest=True) as server:
        yield server


@pytest.fixture(scope="module")
def serve(consul: ConsulAgent, liar: ScriptedUpstream) -> Iterator[Serve]:
    with Serve(consul.url, workers=1, config=config(liar)) as server:
        yield server


@pytest.fixture(scope="module")
def with_another(
    consul: ConsulAgent, liar: ScriptedUpstream, honest: ScriptedUpstream
) -> Iterator[Serve]:
    with Serve(consul.url, workers=1, config=config(liar, honest)) as server:
        yield server


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_not_believed(lie: str, serve: Serve, with_another: Serve) -> None:
    reply = ask(serve.port, f"{lie}.x.test.", timeout=10)
    assert (rcode(reply), reply.answer, extended_errors(reply)) == ("SERVFAIL", [], [23])
    assert answers(ask(with_another.port, f"{lie}.x.test.", timeout=10)) == {OTHER}


def test_the_right_reply_among_forged_ones_is_taken(serve: Serve) -> None:
    assert answers(ask(serve.port, "flood.x.test.", timeout=10)) == {HONEST}


def test_what_does_not_belong_to_the_question_is_dropped(serve: Serve) -> None:
    reply = ask(serve.port, "poison.x.test.")
    assert answers(reply) == {HONEST}
    assert FORGED not in reply.to_text()
    assert answers(ask(serve.port, "bank.test.")) == {HONEST}


def test_flags(serve: Serve) -> None:
    reply = ask(serve.port, "www.x.test.")
    assert dns.flags.to_text(reply.flags) == "QR RD RA"
    assert dns.flags.to_text(ask(serve.port, "web.service.consul.").flags) == "QR AA RD RA"
    query = dns.message.make_query("unasked.x.test.", "A")
    query.flags &= ~dns.flags.RD
    refused = dns.query.udp(query, "127.0.0.1", port=serve.port, timeout=5)
    assert rcode(refused) == "REFUSED"
    assert answers(ask(serve.port, "unasked.x.test.")) == {HONEST}


@pytest.mark.parametrize("logged", ["off", "all"], ids=["batch", "single"])
def test_only_clients_of_allowed_networks_have_names_looked_up(
    logged: str, consul: ConsulAgent, liar: ScriptedUpstream
) -> None:
    """Whether the answer is in the cache already or not."""
    allowed = 'allow_recursion = ["127.0.0.2/32"]\n[dns.forward]\n'
    text = f'query_log = "{logged}"\n' + config(liar).replace("[dns.forward]\n", allowed)
    with Serve(consul.url, config=text) as server:

        def ask_from(source: str, name: str, *, tcp: bool) -> dns.message.Message:
            send = dns.query.tcp if tcp else dns.query.udp
            query = dns.message.make_query(name, "A")
            return send(query, "127.0.0.1", port=server.port, timeout=5, source=source)

        for _ in range(4):
            for tcp in (False, True):
                refused = ask_from("127.0.0.1", "secret.x.test.", tcp=tcp)
                assert (rcode(refused), refused.answer) == ("REFUSED", [])
                own = ask_from("127.0.0.1", "web.service.consul.", tcp=tcp)
                assert answers(own) == {"10.0.0.7"}
                alias = ask_from("127.0.0.1", "elb.service.consul.", tcp=tcp)
                assert answers(alias) == {"web.elb.test."}
                for name, found in (
                    ("secret.x.test.", {HONEST}),
                    ("web.service.consul.", {"10.0.0.7"}),
                ):
                    assert answers(ask_from("127.0.0.2", name, tcp=tcp)) == found
                assert HONEST in answers(ask_from("127.0.0.2", "elb.service.consul.", tcp=tcp))


def test_denials_last_as_long_as_their_soa_says(serve: Serve) -> None:
    for name, code in (("missing.x.test.", "NXDOMAIN"), ("empty.x.test.", "NOERROR")):
        reply = ask(serve.port, name)
        assert (rcode(reply), reply.answer) == (code, [])
        assert 50 <= reply.authority[0].ttl <= 60


def test_ttls_run_down(serve: Serve, liar: ScriptedUpstream) -> None:
    first = ask(serve.port, "countdown.x.test.").answer[0].ttl
    wait_until(
        lambda: ask(serve.port, "countdown.x.test.").answer[0].ttl <= first - 2, "two seconds less"
    )
    assert liar.asked["countdown.x.test."] == 1


def test_any_type_is_passed_on(serve: Serve) -> None:
    assert answers(ask(serve.port, "www.x.test.", "MX")) == {"10 mail.test."}
    assert answers(ask(serve.port, "www.x.test.", "AAAA")) == {"2001:db8::1"}
    assert answers(ask(serve.port, "alias.x.test.")) == {"target.test.", HONEST}


def test_a_large_reply_comes_whole_over_tcp(serve: Serve) -> None:
    truncated = ask(serve.port, "big.x.test.", "TXT")
    assert truncated.flags & dns.flags.TC
    reply = ask(serve.port, "big.x.test.", "TXT", tcp=True)
    assert len(answers(reply)) == BIG
    assert len(reply.to_wire()) > 4_000


def test_source_ports_are_random(serve: Serve, liar: ScriptedUpstream) -> None:
    before = len(liar.ports)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ask(serve.port, f"port{n}.x.test.", timeout=10), range(1_000)))
    ports = liar.ports[before:]
    assert len(ports) >= 1_000
    assert len(set(ports[:1_000])) >= 990


def test_equal_questions_share_one_query(serve: Serve, liar: ScriptedUpstream) -> None:
    liar.held.set()
    try:
        with ThreadPoolExecutor(20) as pool:
            replies = pool.map(lambda _: ask(serve.port, "shared.x.test.", timeout=10), range(20))
            wait_until(lambda: liar.asked["shared.x.test."] > 0, "asked")
            assert {rcode(each) for each in replies} == {"SERVFAIL"}
        assert liar.asked["shared.x.test."] <= 2  # one after the failure was forgotten
    finally:
        liar.held.clear()


def test_names_of_ours_are_answered_while_an_upstream_is_silent(
    serve: Serve, liar: ScriptedUpstream
) -> None:
    liar.held.set()
    try:
        with ThreadPoolExecutor(50) as pool:
            waiting = [
                pool.submit(ask, serve.port, f"slow{n}.x.test.", timeout=10) for n in range(400)
            ]
            for _ in range(50):
                assert answers(ask(serve.port, "web.service.consul.")) == {"10.0.0.7"}
                assert rcode(ask(serve.port, "n.node.consul.")) == "NOERROR"
            assert {rcode(each.result()) for each in waiting} == {"SERVFAIL"}
    finally:
        liar.held.clear()


def test_aliases_to_names_outside_end_in_addresses(serve: Serve) -> None:
    reply = ask(serve.port, "elb.service.consul.")
    assert answers(reply) == {"web.elb.test.", HONEST}
    assert {rrset.ttl for rrset in reply.answer} == {10}
    six = ask(serve.port, "elb.service.consul.", "AAAA")
    assert answers(six) == {"web.elb.test.", "2001:db8::1"}
    assert answers(ask(serve.port, "alias.service.consul.")) == {
        "alias.elb.test.",
        "target.test.",
        HONEST,
    }
    srv = ask(serve.port, "elb.service.consul.", "SRV")
    assert {str(rdata) for rrset in srv.additional for rdata in rrset} >= {HONEST, "2001:db8::1"}


def test_an_alias_that_leads_nowhere(serve: Serve) -> None:
    assert answers(ask(serve.port, "gone.service.consul.")) == {"missing.elb.test."}
    reply = ask(serve.port, "broken.service.consul.")
    assert (rcode(reply), extended_errors(reply)) == ("SERVFAIL", [23])
    # A client that follows aliases by itself does not ask for recursion.
    query = dns.message.make_query("broken.service.consul.", "A")
    query.flags &= ~dns.flags.RD
    reply = dns.query.udp(query, "127.0.0.1", port=serve.port, timeout=5)
    assert answers(reply) == {"servfail.elb.test."}


def test_addresses_of_targets_are_an_extra(serve: Serve) -> None:
    reply = ask(serve.port, "broken.service.consul.", "SRV", timeout=10)
    assert {str(rdata.target) for rdata in reply.answer[0]} == {"servfail.elb.test."}
    assert reply.additional == []


def test_what_is_ours_is_never_forwarded(serve: Serve, liar: ScriptedUpstream) -> None:
    before = liar.asked.total()
    assert rcode(ask(serve.port, "consul.", "DS")) == "NOERROR"
    assert rcode(ask(serve.port, "web.service.consul.", "DS")) == "NOERROR"
    assert rcode(ask(serve.port, "none.service.consul.")) == "NXDOMAIN"
    assert rcode(ask(serve.port, "1.2.3.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"
    assert liar.asked.total() == before
    ask(serve.port, "34.216.184.93.in-addr.arpa.", "PTR")
    assert liar.asked["34.216.184.93.in-addr.arpa."] == 1


def test_zones_have_servers_of_their_own(
    consul: ConsulAgent, liar: ScriptedUpstream, honest: ScriptedUpstream
) -> None:
    zones = {"corp.test": honest, "sub.consul": honest}
    with Serve(consul.url, config=config(**zones)) as server:
        assert answers(ask(server.port, "www.corp.test.")) == {OTHER}
        assert answers(ask(server.port, "www.sub.consul.")) == {OTHER}
        assert rcode(ask(server.port, "www.x.test.")) == "REFUSED"
        assert not ask(server.port, "www.corp.test.").flags & dns.flags.RA
        server.config_file.write_text(config(liar))
        os.kill(server.pid, signal.SIGHUP)
        wait_for_answer(server.port, "www.corp.test.", "A", HONEST)


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
def test_ourselves_as_upstream_is_refused(listen: str, tmp_path: Path) -> None:
    file = tmp_path / "consuldns.toml"
    file.write_text(f'listen = ["{listen}:8653"]\n[dns]\nrecursors = ["127.0.0.1:8653"]\n')
    command = [sys.executable, "-m", "consuldns", "config", "check", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 4
    assert "dns.recursors contains 127.0.0.1:8653, where this server itself listens" in (
        result.stderr
    )


RECORDS = [f"many.real.test. 300 IN A 10.9.{n // 250}.{n % 250 + 1}" for n in range(300)]


def test_unbound_as_upstream(consul: ConsulAgent, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    lines = [
        *("server:", 'chroot: ""', 'username: ""', f'directory: "{tmp_path}"', 'pidfile: ""'),
        *("use-syslog: no", f"port: {port}", "interface: 127.0.0.1", "do-ip6: no"),
        *('module-config: "iterator"', "num-threads: 1", 'local-zone: "real.test." static'),
        *(f'local-data: "{record}"' for record in RECORDS),
    ]
    file = tmp_path / "unbound.conf"
    file.write_text("\n".join(lines) + "\n")
    upstream = f'[dns]\nrecursors = ["127.0.0.1:{port}"]\n'
    command = ["/usr/sbin/unbound", "-d", "-c", str(file)]
    with (
        running(command, port, "many.real.test."),
        Serve(consul.url, config=upstream) as server,
    ):
        assert len(answers(ask(server.port, "many.real.test.", tcp=True))) == len(RECORDS)
        assert rcode(ask(server.port, "none.real.test.")) == "NXDOMAIN"


def test_nsd_as_upstream(consul: ConsulAgent, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    zone = "real.test. 300 IN SOA ns.real.test. admin.real.test. 1 2 3 4 60\n"
    zone += "real.test. 300 IN NS ns.real.test.\n" + "\n".join(RECORDS) + "\n"
    (tmp_path / "zone").write_text(zone)
    lines = [
        *("server:", f'zonesdir: "{tmp_path}"', 'pidfile: ""', 'username: ""', 'chroot: ""'),
        *(f"port: {port}", "ip-address: 127.0.0.1", 'database: ""', 'zonelistfile: ""'),
        *(f'xfrdfile: "{tmp_path}/xfrd"', f'xfrdir: "{tmp_path}"', "server-count: 1"),
        *("remote-control:", "control-enable: no"),
        *("zone:", 'name: "real.test"', 'zonefile: "zone"'),
    ]
    file = tmp_path / "nsd.conf"
    file.write_text("\n".join(lines) + "\n")
    upstream = f'[dns.forward]\n"real.test" = ["127.0.0.1:{port}"]\n'
    with (
        running(["/usr/sbin/nsd", "-d", "-c", str(file)], port, "many.real.test."),
        Serve(consul.url, config=upstream) as server,
    ):
        reply = ask(server.port, "many.real.test.", tcp=True)
        assert len(answers(reply)) == len(RECORDS)
        assert len(reply.to_wire()) > 4_000
        denial = ask(server.port, "none.real.test.")
        assert (rcode(denial), denial.authority[0].ttl) == ("NXDOMAIN", 60)


def test_the_cache_stays_within_its_bound() -> None:
    async def fill() -> None:
        forwarding = Forwarder(ForwardPolicy(), lambda _: None)
        reply = ForwardedReply(
            Outcome.ANSWER, (Record((b"x", b"test"), 1, 300, Address(b"\1\2\3\4")),)
        )
        for number in range(100_000):
            forwarding._keep(ForwardedQuestion((b"%d" % number, b"test"), 1), reply, 300)
        assert forwarding._cache.currsize <= forwarder.MAX_CACHE
        assert forwarding.read(ForwardedQuestion((b"99999", b"test"), 1)) == reply
        with pytest.raises(MissingReply):
            forwarding.read(ForwardedQuestion((b"0", b"test"), 1))

    asyncio.run(fill())
