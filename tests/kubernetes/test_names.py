"""From Kubernetes objects to replies: what the worker writes is what the resolver answers.

The cases are those of the acceptance list that hang on both; the others are tests/cases.
"""

import asyncio
from ipaddress import ip_address
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.config.sync import ReverseSource, SyncSettings
from consuldns.consul.operations import StoredInstance
from consuldns.descriptor import ReverseTarget
from consuldns.server.listen import Transport
from consuldns.sync.ownership import NODE_ADDRESS
from tests.kubernetes.api_server import Object
from tests.kubernetes.objects import endpoint, service, slice_
from tests.kubernetes.test_plan import World, happen, some_object
from tests.server.one_worker import Worker
from tests.support.catalog import Catalog, Payload
from tests.support.properties import examples
from tests.support.scenarios import question
from tests.wire import packets

EVERYTHING: tuple[ReverseSource, ...] = ("cluster-ip", "headless", "endpoints", "manual")
HTTP = [{"name": "http", "protocol": "TCP", "port": 80}]
NS = "testns"
OBJECTS: list[Object] = [
    service("svc1", "10.0.0.100", namespace=NS, ports=HTTP),
    # Another headless service's endpoints include the cluster IP of svc1: written by hand.
    service("thief", "None", namespace=NS, ports=HTTP),
    slice_("thief", endpoint("10.0.0.100", pod="t"), namespace=NS, managed=False),
    service("svc6", ["fd00:10::6"], namespace=NS, ports=HTTP),
    service("hdls1", "None", namespace=NS, ports=HTTP),
    slice_(
        "hdls1",
        endpoint("172.16.0.2", pod="p2", namespace=NS),
        endpoint("172.16.0.3", pod="p3", ready=None, namespace=NS),
        endpoint("172.16.0.4", pod="p4", hostname="dup-name", namespace=NS),
        endpoint("172.16.0.5", pod="p5", hostname="dup-name", namespace=NS),
        endpoint("172.16.0.6", ready=False, serving=True, terminating=True, namespace=NS),
        namespace=NS,
        ports=HTTP,
    ),
    slice_(
        "hdls1",
        endpoint("172.16.0.2", pod="p2", namespace=NS),
        name="hdls1-2",
        namespace=NS,
        ports=HTTP,
    ),
    slice_(
        "hdls1",
        endpoint("fd00::5", pod="p7", namespace=NS),
        name="hdls1-6",
        namespace=NS,
        ports=HTTP,
        family="IPv6",
    ),
    service("hdlsprtls", "None", namespace=NS, ports=[]),
    slice_("hdlsprtls", endpoint("172.16.0.20"), namespace=NS, ports=[]),
    service("hdlsunready", "None", namespace=NS, ports=HTTP),
    slice_("hdlsunready", endpoint("172.16.0.30", ready=False), namespace=NS, ports=HTTP),
    service("hdlsall", "None", namespace=NS, ports=HTTP, publishNotReadyAddresses=True),
    slice_("hdlsall", endpoint("172.16.0.31", ready=False), namespace=NS, ports=HTTP),
    # Two services with one pod.
    service("shared-a", "None", namespace=NS, ports=HTTP),
    slice_("shared-a", endpoint("172.16.0.40", pod="s", namespace=NS), namespace=NS, ports=HTTP),
    service("shared-b", "None", namespace=NS, ports=HTTP),
    slice_("shared-b", endpoint("172.16.0.40", pod="s", namespace=NS), namespace=NS, ports=HTTP),
    service("external", namespace=NS, type="ExternalName", externalName="ext.example"),
    service("external-ip", namespace=NS, type="ExternalName", externalName="10.1.2.3"),
    service(
        "inward", namespace=NS, type="ExternalName", externalName="svc1.testns.svc.cluster.local"
    ),
    service("onward", namespace=NS, type="ExternalName", externalName="inward.service.consul"),
    service("svc1", "10.0.0.200", namespace="denied", ports=HTTP),
    service("svc1", "10.0.0.201", namespace="second", created="2026-02-01T00:00:00Z"),
    service("empty", "10.0.0.202", namespace=NS, ports=HTTP),
]
CASES: list[tuple[str, str, set[str] | str]] = [
    ("1", "svc1.testns.svc.dc1.consul A", {"10.0.0.100"}),
    ("1 by the flat name", "svc1.service.consul A", {"10.0.0.100"}),
    ("1 a second service of that name", "svc1.second.svc.dc1.consul A", {"10.0.0.201"}),
    ("3", "svc6.testns.svc.dc1.consul AAAA", {"fd00:10::6"}),
    ("8", "svc1.denied.svc.dc1.consul A", "NXDOMAIN"),
    ("8 namespace", "denied.svc.dc1.consul A", "NXDOMAIN"),
    ("9", "empty.testns.svc.dc1.consul A", {"10.0.0.202"}),
    (
        "13",
        "hdls1.testns.svc.dc1.consul A",
        {"172.16.0.2", "172.16.0.3", "172.16.0.4", "172.16.0.5"},
    ),
    ("14", "hdls1.testns.svc.dc1.consul AAAA", {"fd00::5"}),
    ("15", "dup-name.hdls1.testns.svc.dc1.consul A", {"172.16.0.4", "172.16.0.5"}),
    ("16", "172-16-0-2.hdls1.testns.svc.dc1.consul A", {"172.16.0.2"}),
    ("25", "p2.hdls1.testns.svc.dc1.consul A", "NXDOMAIN"),
    ("25 dashed", "172-16-0-2.hdls1.testns.svc.dc1.consul A", {"172.16.0.2"}),
    (
        "19",
        "_http._tcp.hdls1.testns.svc.dc1.consul SRV",
        {
            f"0 25 80 {label}.hdls1.testns.svc.dc1.consul."
            for label in ("172-16-0-2", "172-16-0-3", "dup-name", "fd00--5")
        },
    ),
    ("20", "hdlsprtls.testns.svc.dc1.consul A", {"172.16.0.20"}),
    ("20 SRV", "hdlsprtls.testns.svc.dc1.consul SRV", set()),
    ("21", "hdlsunready.testns.svc.dc1.consul A", "NXDOMAIN"),
    ("22", "172-16-0-3.hdls1.testns.svc.dc1.consul A", {"172.16.0.3"}),
    ("23", "hdlsall.testns.svc.dc1.consul A", {"172.16.0.31"}),
    ("24", "172-16-0-6.hdls1.testns.svc.dc1.consul A", "NXDOMAIN"),
    ("26", "_http._tcp.svc1.testns.svc.dc1.consul SRV", {"0 100 80 svc1.testns.svc.dc1.consul."}),
    ("33", "external.testns.svc.dc1.consul CNAME", {"ext.example."}),
    ("33 by the flat name", "external.service.consul CNAME", {"ext.example."}),
    (
        "35 in the cluster's own domain",
        "inward.testns.svc.dc1.consul A",
        {"svc1.testns.svc.dc1.consul.", "10.0.0.100"},
    ),
    (
        "35 by the flat name",
        "inward.service.consul A",
        {"svc1.testns.svc.dc1.consul.", "10.0.0.100"},
    ),
    (
        "an alias of a flat name",
        "onward.service.consul A",
        {"inward.service.consul.", "svc1.testns.svc.dc1.consul.", "10.0.0.100"},
    ),
    ("an ExternalName that is an address", "external-ip.testns.svc.dc1.consul A", "NXDOMAIN"),
    ("53", "100.0.0.10.in-addr.arpa PTR", {"svc1.testns.svc.dc1.consul."}),
    ("54", "4.0.16.172.in-addr.arpa PTR", {"dup-name.hdls1.testns.svc.dc1.consul."}),
    ("54 the other", "5.0.16.172.in-addr.arpa PTR", {"dup-name.hdls1.testns.svc.dc1.consul."}),
    ("55", "2.0.16.172.in-addr.arpa PTR", {"172-16-0-2.hdls1.testns.svc.dc1.consul."}),
    (
        "56",
        f"{ip_address('fd00:10::6').reverse_pointer} PTR",
        {"svc6.testns.svc.dc1.consul."},
    ),
    ("57", "199.0.0.10.in-addr.arpa PTR", "NXDOMAIN"),
    ("58", "40.0.16.172.in-addr.arpa PTR", {"172-16-0-40.shared-a.testns.svc.dc1.consul."}),
    ("59", "200.0.0.10.in-addr.arpa PTR", "NXDOMAIN"),
]


def register(stored: StoredInstance, world: World) -> Payload:
    """The body of PUT /v1/catalog/register that does what the transaction did."""
    each = stored.instance
    node = world.identity.node_registration()
    return {
        "Node": node.name,
        "Address": NODE_ADDRESS,
        "NodeMeta": node.meta,
        "Service": {
            "ID": each.id,
            "Service": each.service,
            "Address": each.address,
            "Port": each.port,
            "Tags": list(each.tags),
            "Meta": each.meta,
            "Weights": {"Passing": each.weight, "Warning": each.weight},
        },
        "Checks": [{"CheckID": each.id, "ServiceID": each.id, "Status": each.status}],
    }


def catalog(world: World) -> Catalog:
    """What the worker has written."""
    keys = world.registry.stored_keys
    return Catalog(
        register=[register(each, world) for each in world.registry.instances_by_id.values()],
        kv={path: stored.key.value.decode() for path, stored in keys.items()},
    )


def synced(objects: list[Any], sync: SyncSettings) -> World:
    world = World(sync)
    world.cluster.namespaces |= {"testns", "denied", "second"}
    for object_ in objects:
        happen(world, object_)
    assert not asyncio.run(world.apply(world.plan_all())).failed
    return world


def ask(worker: Worker, asked: str) -> set[str] | str:
    """The data of the answer, or the rcode if it is none."""
    each = question(asked)
    reply = worker.reply(packets.query_packet(each.name, each.type), Transport.TCP)
    if reply.rcode():
        return "NXDOMAIN" if reply.rcode() == 3 else str(reply.rcode())
    return {data.to_text() for rrset in reply.answer for data in rrset}


@pytest.fixture(scope="module")
def worker() -> Worker:
    settings = SyncSettings(reverse_target="nested", deny_namespaces=("denied",))
    return Worker(catalog(synced(OBJECTS, settings)).views())


@pytest.mark.parametrize(("case", "asked", "answer"), CASES, ids=[case[0] for case in CASES])
def test_case(case: str, asked: str, answer: set[str] | str, worker: Worker) -> None:
    assert ask(worker, asked) == answer


def test_24_an_endpoint_that_begins_to_terminate_is_not_served() -> None:
    world = synced(OBJECTS, SyncSettings())
    name = "hdlsprtls.testns.svc.dc1.consul A"
    assert ask(Worker(catalog(world).views()), name) == {"172.16.0.20"}
    going = endpoint("172.16.0.20", ready=False, serving=True, terminating=True)
    world.put(slice_("hdlsprtls", going, namespace=NS, ports=[]))
    assert not asyncio.run(world.apply(world.plan_dirty())).failed
    assert ask(Worker(catalog(world).views()), name) == "NXDOMAIN"


def test_63_an_endpoint_that_is_left_in_one_slice_is_still_served() -> None:
    world = synced(OBJECTS, SyncSettings())
    world.remove("slice", NS, "hdls1-1")
    assert not asyncio.run(world.apply(world.plan_dirty())).failed
    worker = Worker(catalog(world).views())
    assert ask(worker, "hdls1.testns.svc.dc1.consul A") == {"172.16.0.2"}


@given(st.lists(some_object, max_size=12), st.sampled_from(get_args(ReverseTarget)))
@examples(150)
def test_every_reverse_name_leads_back(objects: list[Any], target: ReverseTarget) -> None:
    written = catalog(synced(objects, SyncSettings(reverse_target=target, reverse=EVERYTHING)))
    worker = Worker(written.views())
    for key in written.kv:
        if not key.startswith("0."):
            continue
        address = ip_address(key.rpartition("/")[2])
        targets = ask(worker, f"{address.reverse_pointer} PTR")
        assert targets
        for name in targets:
            assert str(address) in ask(worker, f"{name} {'A' if address.version == 4 else 'AAAA'}")
