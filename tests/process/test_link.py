"""Messages between control and worker arrive whole and in order, however the stream is cut."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.dns.policy import Policy
from consuldns.process import link
from consuldns.process.workers import Workers
from consuldns.server.listen import Listener, Transport
from consuldns.sockets import HostPort
from consuldns.views import keys, model, reverse_names, updates
from consuldns.views.zone_records import (
    RecordSet,
    ServiceAlias,
    ZoneChange,
    ZoneName,
    ZoneRecords,
)

NODE = model.Node("n1", "id", "10.0.0.1", "dc1", {"lan_ipv4": "10.0.0.1"}, {"k": "v"})
INSTANCE = model.Instance(
    NODE, "i", "web", "", 80, ("a", "b"), {}, {"lan": model.ServiceAddress("10.0.0.2", 1)},
    1, 1, model.Health.WARNING,
)  # fmt: skip
ZONE_NAME = ZoneName((b"www",), (RecordSet(1, 60, (b"\x0a\0\0\1",)),), ServiceAlias("web"))
MESSAGES: list[link.ToWorker] = [
    link.Start((), Policy(alt_domains=((b"alt", b"test"),), service_ttl={"*": 5})),
    updates.Replaced(keys.DatacenterList(), model.Datacenters(0, "dc1", ("dc1", "dc2"))),
    updates.Replaced(keys.ServiceList("dc1"), model.Services(7, ("web", "consul"), ("a",))),
    updates.Replaced(keys.NodeList("dc1"), model.Nodes(7, (NODE,))),
    updates.Replaced(keys.ServiceInstances("dc1", "web"), model.Instances(7, (INSTANCE,))),
    updates.Replaced(
        keys.ReverseZoneList(), reverse_names.ReverseZones(8, ("0.70.254.10.IN-ADDR.ARPA",))
    ),
    updates.Replaced(
        keys.ReverseZone("0.70.254.10.IN-ADDR.ARPA"),
        reverse_names.ReverseEntries(
            8, (reverse_names.ReverseEntry("10.254.70.176", ("a.b",), 2**63),)
        ),
    ),
    updates.Replaced(
        keys.ServiceAddresses("dc1"), reverse_names.AddressIndex(9, {b"\x0a\x00\x00\x01": "web"})
    ),
    updates.Replaced(keys.ZoneContents("example.test"), ZoneRecords(9, (ZONE_NAME,))),
    updates.ZoneChanged(
        keys.ZoneContents("example.test"), ZoneChange(10, (ZONE_NAME,), ((b"old",),)), "kept"
    ),
    updates.Current(keys.NodeList("dc1")),
    updates.Outdated((keys.ServiceInstances("dc1", "web"),)),
    updates.Unavailable(keys.ServiceInstances("dc1", "web"), "no leader"),
    updates.Forgotten(keys.ServiceInstances("dc1", "web")),
    updates.Contact(False),
    link.SettingsChanged(Policy(node_ttl=7)),
    link.CaughtUp(),
    link.Ping(),
]


@given(st.lists(st.integers(1, 400), min_size=1))
def test_messages_survive_any_cut(sizes: list[int]) -> None:
    stream = b"".join(link.frame(message) for message in MESSAGES)
    received: list[link.ToWorker] = []
    end = link.Link(link.worker_decoder(), received.append, lambda: None)
    position = 0
    while position < len(stream):
        size = sizes[position % len(sizes)]
        end.data_received(stream[position : position + size])
        position += size
    assert received == MESSAGES


def test_a_listener_travels_with_its_socket() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        sent = Listener(Transport.UDP, own, HostPort("127.0.0.1", 0))
        received: list[link.ToWorker] = []
        end = link.Link(link.worker_decoder(), received.append, lambda: None)
        end.data_received(link.frame(link.Start((sent,), Policy())))
        (start,) = received
        assert isinstance(start, link.Start)
        (listener,) = start.listeners
        assert (listener.transport, listener.address) == (Transport.UDP, sent.address)
        assert listener.socket.getsockname() == own.getsockname()
        assert listener.socket.type is socket.SOCK_DGRAM
        listener.socket.detach()  # in one process, two objects have this descriptor


def test_what_a_worker_says_arrives() -> None:
    messages: list[link.ToControl] = [
        link.Serving(),
        updates.Need(keys.ServiceInstances("dc1", "web")),
        updates.Asked((keys.NodeList("dc1"), keys.ReverseZone("x"))),
        link.Pong({"queries_udp": 3}),
    ]
    received: list[link.ToControl] = []
    end = link.Link(link.control_decoder(), received.append, lambda: None)
    end.data_received(b"".join(link.frame(message) for message in messages))
    assert received == messages


def test_a_message_that_cannot_be_used_is_skipped_and_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not a crash of every worker, one after another, by one record of somebody."""
    deep = b"\x91" * 5000 + b"\xc0"
    poison = [b"", b"\xc1", b"\xff" * 40, b"\x93\xa8Replaced\xc0\xc0", deep]
    received: list[link.ToWorker] = []

    def receive(message: link.ToWorker) -> None:
        if isinstance(message, link.CaughtUp):
            raise ValueError("a bug")
        received.append(message)

    end = link.Link(link.worker_decoder(), receive, lambda: None)
    stream = b"".join(link.LENGTH.pack(len(each)) + each for each in poison) + link.frame(
        link.CaughtUp()
    )
    for _ in range(3):
        end.data_received(stream * 2 + link.frame(link.Ping()))
    assert received == [link.Ping()] * 3
    assert all("is skipped: unexpected error" in record.message for record in caplog.records)
    assert all(len(record.message) < 400 for record in caplog.records)


def test_an_update_that_cannot_travel_is_skipped(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(
        [],
        Policy(),
        known=lambda: (),
        need=lambda key: None,
        asked=lambda keys: None,
        changed=lambda: None,
    )
    huge = updates.Replaced(keys.ServiceList("dc1"), model.Services(2**70, (), ()))
    for _ in range(100):
        workers.publish(huge)
    assert len(caplog.records) == 1


async def test_a_link_whose_other_end_has_gone_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    closed = asyncio.Event()
    _, protocol = await asyncio.get_running_loop().create_connection(
        lambda: link.Link(link.control_decoder(), lambda message: None, closed.set), sock=ours
    )
    theirs.close()
    for _ in range(100):
        protocol.send(link.frame(link.Ping()))
    await closed.wait()
    protocol.send(link.frame(link.Ping()))
    assert caplog.records == []
