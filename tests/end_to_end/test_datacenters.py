"""Names of another datacenter, joined over the WAN, beside Consul's own DNS."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import dns.message
import pytest

from tests.end_to_end.conftest import register
from tests.support.ask import answers, ask, extended_errors, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve
from tests.support.datacenters import joined

TRANSLATED = {"translate_wan_addrs": True}
CONFIG = "[dns]\ntranslate_wan_addrs = true\n"

WAN = {"wan": {"Address": "198.51.100.7", "Port": 8443}}
WAN_4 = {"wan_ipv4": {"Address": "198.51.100.8", "Port": 8444}}
LAN_4 = {"lan_ipv4": {"Address": "10.7.7.8", "Port": 80}}
REGISTRATIONS: list[dict[str, Any]] = [
    {
        "Node": "far",
        "Address": "10.2.0.1",
        "TaggedAddresses": {"lan": "10.2.0.1", "wan": "198.51.100.1"},
        "Service": {"Service": "web", "Port": 80, "Tags": ["v1"]},
    },
    {
        "Node": "far6",
        "Address": "10.2.0.6",
        "TaggedAddresses": {"wan_ipv4": "198.51.100.6", "wan_ipv6": "2001:db8::6"},
        "Service": {"Service": "six", "Port": 80},
    },
    {"Node": "plain", "Address": "10.2.0.2", "Service": {"Service": "web", "Port": 81}},
    {
        "Node": "plain",
        "Address": "10.2.0.2",
        "Service": {"Service": "own", "Port": 80, "Address": "10.7.7.7", "TaggedAddresses": WAN},
    },
    {
        "Node": "plain",
        "Address": "10.2.0.2",
        "Service": {
            "Service": "mixed",
            "Port": 80,
            "Address": "10.7.7.9",
            "TaggedAddresses": WAN | LAN_4,
        },
    },
    {
        "Node": "plain",
        "Address": "10.2.0.2",
        "Service": {"Service": "four", "Port": 80, "TaggedAddresses": WAN_4 | LAN_4},
    },
    {
        "Node": "plain",
        "Address": "10.2.0.2",
        "Service": {"Service": "sick", "Port": 80},
        "Check": {"Name": "c", "ServiceID": "sick", "Status": "critical"},
    },
]
FAILOVER = {"Service": "elsewhere", "Failover": {"Datacenters": ["dc2"]}}


@pytest.fixture(scope="module")
def datacenters() -> Iterator[tuple[ConsulAgent, ConsulAgent]]:
    with joined("dc1", "dc2", TRANSLATED) as (near, far):
        for body in REGISTRATIONS:
            far.put("/v1/catalog/register", body)
        service = {"Service": "elsewhere", "Port": 80, "Address": "10.2.0.9"}
        far.put("/v1/catalog/register", {"Node": "far", "Address": "10.2.0.1", "Service": service})
        near.client.post("/v1/query", json={"Name": "over", "Service": FAILOVER})
        register(near, "local", "10.1.0.1")
        yield near, far


@pytest.fixture(scope="module")
def serve(datacenters: tuple[ConsulAgent, ConsulAgent]) -> Iterator[Serve]:
    with Serve(datacenters[0].url, config=CONFIG) as serve:
        wait_for_answer(serve.port, "local.service.consul", "A", "10.1.0.1")
        yield serve


NAMES = [
    *("web.service.dc2.consul", "v1.web.service.dc2.consul", "_web._tcp.service.dc2.consul"),
    *("own.service.dc2.consul", "mixed.service.dc2.consul", "four.service.dc2.consul"),
    *("six.service.dc2.consul", "far.node.dc2.consul", "far6.node.dc2.consul"),
    *("plain.node.dc2.consul", "over.query.consul", "elsewhere.service.dc2.consul"),
    *("sick.service.dc2.consul", "nothing.service.dc2.consul"),
    *("local.service.dc2.consul", "web.service.consul", "local.service.dc1.consul"),
    *("web.service.dc9.consul", "web.service.dc1.consul"),
]


def sections(message: dns.message.Message) -> tuple[str, set[str], set[str]]:
    """rcode, answer, and the addresses in the additional section."""
    additional = {
        f"{each.name} {record}"
        for each in message.additional
        for record in each
        if each.rdtype < 30
    }
    return rcode(message), answers(message), {each for each in additional if '"' not in each}


@pytest.mark.parametrize("type_", ["A", "AAAA", "SRV"])
@pytest.mark.parametrize("name", NAMES)
def test_as_consul_answers(
    datacenters: tuple[ConsulAgent, ConsulAgent], serve: Serve, name: str, type_: str
) -> None:
    consul = datacenters[0]
    theirs = sections(ask(consul.dns_port, name, type_, tcp=True))
    wait_until(lambda: rcode(ask(serve.port, name, type_)) != "SERVFAIL", name)
    assert sections(ask(serve.port, name, type_, tcp=True)) == theirs


def test_a_datacenter_that_cannot_be_reached(
    datacenters: tuple[ConsulAgent, ConsulAgent],
) -> None:
    """What was read of it is served with a mark, the rest is SERVFAIL; ours is not touched."""
    near, far = datacenters
    with Serve(near.url, config=CONFIG) as serve:
        wait_for_answer(serve.port, "own.service.dc2.consul", "A", "198.51.100.7")
        assert extended_errors(ask(serve.port, "own.service.dc2.consul", "A")) == []
        os.kill(far.pid, signal.SIGSTOP)
        try:
            wait_until(
                lambda: extended_errors(ask(serve.port, "own.service.dc2.consul", "A")) == [3],
                "stale",
                60,
            )
            assert answers(ask(serve.port, "own.service.dc2.consul", "A")) == {"198.51.100.7"}
            reply = ask(serve.port, "six.service.dc2.consul", "A", timeout=10)
            assert rcode(reply) == "SERVFAIL"
            assert extended_errors(reply)
            local = ask(serve.port, "local.service.consul", "A")
            assert answers(local) == {"10.1.0.1"}
            assert extended_errors(local) == []
            assert rcode(ask(serve.port, "web.service.dc9.consul", "A")) == "NXDOMAIN"
        finally:
            os.kill(far.pid, signal.SIGCONT)
        wait_until(
            lambda: extended_errors(ask(serve.port, "own.service.dc2.consul", "A")) == [],
            "fresh again",
            60,
        )
