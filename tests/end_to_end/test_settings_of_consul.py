"""Settings with Consul's names mean what they mean to Consul: both servers with the same ones."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dns.flags
import dns.message
import dns.query
import pytest

from tests.support.ask import answers, ask, rcode
from tests.support.consul_agent import ConsulAgent
from tests.support.consuldns_process import Serve

INSTANCES = 60


def register(consul: ConsulAgent, service: str, count: int) -> None:
    for number in range(count):
        address = f"10.1.{number // 200}.{number % 200 + 1}"
        body = {"ID": f"{service}{number}", "Service": service, "Address": address, "Port": 80}
        payload = {"Node": f"n{number}", "Address": address, "Service": body}
        consul.put("/v1/catalog/register", payload)


@contextmanager
def both(dns: dict[str, Any], top: dict[str, Any] | None = None) -> Iterator[tuple[int, int]]:
    """The ports of Consul's DNS and of ours, with the same settings."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {**dns, **(top or {})}.items()]
    with ConsulAgent(config={"dns_config": dns, **(top or {})}) as consul:
        register(consul, "many", INSTANCES)
        with Serve(consul.url, config="[dns]\n" + "\n".join(lines) + "\n") as ours:
            yield consul.dns_port, ours.port


def plain(port: int, name: str, type_: str = "A") -> dns.message.Message:
    """A reply over UDP without EDNS."""
    query = dns.message.make_query(name, type_)
    return dns.query.udp(query, "127.0.0.1", port=port, timeout=5)


def count(reply: dns.message.Message) -> tuple[int, bool]:
    """How many answers there are, and the flag TC."""
    return sum(len(rrset) for rrset in reply.answer), bool(reply.flags & dns.flags.TC)


@pytest.mark.parametrize("limit", [1, 2, 8, 20])
def test_udp_answer_limit(limit: int) -> None:
    settings = {"udp_answer_limit": limit, "enable_truncate": True}
    with both(settings) as (theirs, ours):
        for port in (theirs, ours):
            assert count(plain(port, "many.service.consul.")) == (min(limit, 8), True)
        assert count(plain(ours, "many.service.consul.", "SRV"))[0] <= limit
        chosen = {
            answer for _ in range(40) for answer in answers(plain(ours, "many.service.consul."))
        }
        assert len(chosen) > limit  # not always the same


def test_no_truncation() -> None:
    with both({"enable_truncate": False, "udp_answer_limit": 3}) as (theirs, ours):
        for port in (theirs, ours):
            assert count(plain(port, "many.service.consul.")) == (3, False)


def test_a_record_limit() -> None:
    with both({"a_record_limit": 2}) as (theirs, ours):
        for port in (theirs, ours):
            assert count(ask(port, "many.service.consul.", tcp=True))[0] == 2
            assert count(ask(port, "many.service.consul.", "SRV", tcp=True))[0] == INSTANCES


def test_names_are_written_out_without_compression() -> None:
    def size(port: int) -> int:
        query = dns.message.make_query("many.service.consul.", "A")
        return len(dns.query.tcp(query, "127.0.0.1", port=port, timeout=5).wire or b"")

    sizes = []
    for disabled in (False, True):
        with both({"disable_compression": disabled}) as (theirs, ours):
            assert size(theirs) == size(ours)
            sizes.append(size(ours))
            assert len(answers(ask(ours, "many.service.consul.", "SRV", tcp=True))) == INSTANCES
    assert sizes[0] < sizes[1]


def test_haproxy_gets_all_instances_over_udp() -> None:
    """Its resolvers accept 8,192 octets, and cannot use TCP."""
    with ConsulAgent() as consul:
        register(consul, "many", INSTANCES)
        with Serve(consul.url, config="[dns]\nmax_udp_size = 8192\n") as server:
            query = dns.message.make_query("many.service.consul.", "SRV", payload=8192)
            reply = dns.query.udp(query, "127.0.0.1", port=server.port, timeout=5)
            assert count(reply) == (INSTANCES, False)
            assert sum(len(rrset) for rrset in reply.additional) == INSTANCES
            small = dns.message.make_query("many.service.consul.", "SRV", payload=1232)
            found, truncated = count(dns.query.udp(small, "127.0.0.1", port=server.port))
            assert (found < INSTANCES, truncated) == (True, True)


def test_several_domains() -> None:
    with ConsulAgent() as consul:
        register(consul, "web", 1)
        config = '[dns]\nalt_domain = ["alt.test", "other"]\n'
        with Serve(consul.url, config=config) as server:
            for domain in ("consul", "alt.test", "other"):
                reply = ask(server.port, f"web.service.{domain}.", "SRV")
                (target,) = [str(rdata.target) for rdata in reply.answer[0]]
                assert target.endswith(f".{domain}.")
            assert rcode(ask(server.port, "web.service.else.")) == "REFUSED"


def test_the_root_as_domain() -> None:
    with ConsulAgent() as consul:
        register(consul, "web", 1)
        with Serve(consul.url, config='[dns]\ndomain = "."\n') as server:
            assert answers(ask(server.port, "web.service.")) == {"10.1.0.1"}
            assert answers(ask(server.port, "n0.node.dc1.")) == {"10.1.0.1"}
            reply = ask(server.port, "web.service.", "SRV")
            (target,) = [str(rdata.target) for rdata in reply.answer[0]]
            assert answers(ask(server.port, target)) == {"10.1.0.1"}
            denial = ask(server.port, "example.com.")
            assert (rcode(denial), str(denial.authority[0].name)) == ("NXDOMAIN", ".")
            assert answers(ask(server.port, "1.0.1.10.in-addr.arpa.", "PTR")) == {"n0.node.dc1."}
