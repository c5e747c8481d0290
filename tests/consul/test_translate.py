"""From Consul's JSON to views."""

import base64
import contextlib
import json

import pytest
from hypothesis import given, strategies
from msgspec.structs import replace

from consuldns.consul import decoders, kinds
from consuldns.consul.http import replies, unread
from consuldns.consul.kinds import Place, Source
from consuldns.errors import BadResponse
from consuldns.views import keys, model, reverse_names
from consuldns.views.base import View
from consuldns.views.clusters import Cluster, Clusters, EndpointGroup, Port, Service
from consuldns.views.keys import Key, V
from consuldns.views.model import Health


def source_of(key: Key[V]) -> Source[V]:
    """How a view of dc1 is read."""
    return kinds.source(key, Place("dc1", getattr(key, "service", "")))


ENTRY = {
    "Node": {
        "ID": "5f1c",
        "Node": "Web-1",
        "Address": "10.0.0.1",
        "Datacenter": "dc1",
        "TaggedAddresses": {"wan": "198.51.100.1"},
        "Meta": None,
        "CreateIndex": 5,
    },
    "Service": {
        "ID": "web-a",
        "Service": "Web",
        "Tags": ["v1", "Blue"],
        "Address": "",
        "TaggedAddresses": {"lan_ipv4": {"Address": "10.0.0.9", "Port": 81}},
        "Meta": {"team": "a"},
        "Port": 80,
        "Weights": {"Passing": 3, "Warning": 70000},
    },
    "Checks": [
        {"Status": "passing", "Name": "up"},
        {"Status": "warning", "Name": "disk", "Output": "slow"},
    ],
}


def test_instance_keeps_everything_that_is_answered() -> None:
    view, skipped = source_of(keys.ServiceInstances("dc1", "web")).decode(
        7, json.dumps([ENTRY]).encode()
    )
    node = model.Node("Web-1", "5f1c", "10.0.0.1", "dc1", {"wan": "198.51.100.1"}, {})
    instance = model.Instance(
        node=node,
        id="web-a",
        service="Web",
        address="",
        port=80,
        tags=("v1", "Blue"),
        meta={"team": "a"},
        tagged_addresses={"lan_ipv4": model.ServiceAddress("10.0.0.9", 81)},
        weight_passing=3,
        weight_warning=1,
        health=Health.WARNING,
        failing=("Web-1/disk: warning",),
    )
    assert (view, list(skipped)) == (model.Instances(7, (instance,)), [])


@pytest.mark.parametrize(
    ("tagged", "kept"),
    [
        ({"lan_ipv4": ("10.0.0.1", 80), "wan_ipv4": ("10.0.0.1", 80)}, set()),
        ({"lan_ipv4": ("10.0.0.1", 80), "lan_ipv6": ("::1", 80)}, {"lan_ipv4", "lan_ipv6"}),
        ({"lan_ipv4": ("10.0.0.1", 81)}, {"lan_ipv4"}),
    ],
)
def test_tagged_addresses_that_only_repeat_are_left_out(
    tagged: dict[str, tuple[str, int]], kept: set[str]
) -> None:
    service = replies.Service(
        name="s",
        id="s",
        address="10.0.0.1",
        port=80,
        tagged_addresses={tag: replies.TaggedAddress(*each) for tag, each in tagged.items()},
    )
    entry = replies.HealthEntry(replies.Node("n", "10.9.0.1"), service)
    (instance,) = decoders.instances(1, [entry]).instances
    assert set(instance.tagged_addresses) == kept


def test_nulls_are_empty() -> None:
    bare = {
        "Node": {"Node": "n", "Address": "", "TaggedAddresses": None, "Meta": None},
        "Service": {"ID": "s", "Service": "s", "Tags": None, "Meta": None, "Weights": None},
        "Checks": None,
    }
    view, skipped = source_of(keys.ServiceInstances("dc1", "s")).decode(
        1, json.dumps([bare]).encode()
    )
    assert isinstance(view, model.Instances)
    (instance,) = view.instances
    assert (instance.tags, instance.meta, instance.health) == ((), {}, Health.PASSING)
    assert (instance.weight_passing, instance.weight_warning, list(skipped)) == (1, 1, [])


@pytest.mark.parametrize(
    ("statuses", "health"),
    [
        ([], Health.PASSING),
        (["passing"], Health.PASSING),
        (["passing", "warning"], Health.WARNING),
        (["warning", "critical"], Health.CRITICAL),
        (["maint"], Health.UNKNOWN),
        (["maint", "warning"], Health.UNKNOWN),
        (["maint", "critical"], Health.CRITICAL),
        ([""], Health.UNKNOWN),
    ],
)
def test_health_is_the_worst_of_the_checks(statuses: list[str], health: Health) -> None:
    assert decoders.health(statuses) is health


def test_bad_record_is_skipped_and_its_neighbours_kept() -> None:
    bad: list[object] = [{"Node": 5}, "x", {**ENTRY, "Service": {**ENTRY["Service"], "Port": "80"}}]  # type: ignore[dict-item]
    body = json.dumps([ENTRY, *bad, ENTRY]).encode()
    view, skipped = source_of(keys.ServiceInstances("dc1", "web")).decode(1, body)
    assert isinstance(view, model.Instances)
    assert len(view.instances) == 2
    assert [each.name for each in skipped] == [
        "instance with an unreadable name on node with an unreadable name",
        "instance with an unreadable name on node with an unreadable name",
        "instance 'web-a' on node 'Web-1'",
    ]
    assert "Expected `int`, got `str`" in skipped[2].reason


def test_bad_tags_of_one_service_cost_only_those_tags() -> None:
    nothing: frozenset[str] = frozenset()
    tags, skipped = replies.decode_service_tags(b'{"a": ["x"], "b": 5, "c": null, "d": [1]}')
    assert tags == {"a": frozenset("x"), "b": nothing, "c": nothing, "d": nothing}
    assert [unread.service_record(each).listed for each in skipped] == ["b", "d"]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1}', b"[", b"5"])
def test_body_that_is_no_list_is_an_error(body: bytes) -> None:
    for source in (source_of(keys.NodeList("dc1")), source_of(keys.ServiceInstances("dc1", "web"))):
        with pytest.raises(BadResponse):
            source.decode(1, body)


def test_services_are_sorted_with_all_tags() -> None:
    view, _ = source_of(keys.ServiceList("dc1")).decode(
        3, b'{"web": ["b", "a"], "Db": ["a"], "consul": []}'
    )
    assert view == model.Services(3, ("Db", "consul", "web"), ("a", "b"))


def test_reverse_zones_are_the_folders_that_are_named_so() -> None:
    folders = ("0.70.254.10.IN-ADDR.ARPA/", "10.in-addr.arpa/", "1.in-addr.arpa", "app/", "arpa/")
    body = json.dumps(folders).encode()
    view, _ = source_of(keys.ReverseZoneList()).decode(3, body)
    assert view == reverse_names.ReverseZones(3, ("0.70.254.10.IN-ADDR.ARPA", "10.in-addr.arpa"))
    assert source_of(keys.ReverseZoneList()).decode(1, b"")[0] == reverse_names.ReverseZones(1, ())


def key(address: str, value: str | None, flags: int = 0) -> dict[str, object]:
    encoded = None if value is None else base64.b64encode(value.encode()).decode()
    return {"Key": f"0.70.254.10.IN-ADDR.ARPA/{address}", "Flags": flags, "Value": encoded}


def test_reverse_entries_keep_what_can_be_answered() -> None:
    records = [
        key("10.254.70.176", "monitoring-heapster.service.dc1.consul"),
        key("10.254.70.177", " a.example.com. \n\nb.example.com\n", flags=7),
        key("", None),
        key("10.254.70.178", None),
        key("not-an-address", "x"),
        {"Key": "0.70.254.10.IN-ADDR.ARPA/10.254.70.179", "Value": "%%%"},
        {"Key": "0.70.254.10.IN-ADDR.ARPA/10.254.70.180", "Value": "/w=="},
    ]
    source = source_of(keys.ReverseZone("0.70.254.10.IN-ADDR.ARPA"))
    view, skipped = source.decode(9, json.dumps(records).encode())
    assert view == reverse_names.ReverseEntries(
        9,
        (
            reverse_names.ReverseEntry(
                "10.254.70.176", ("monitoring-heapster.service.dc1.consul",), 0
            ),
            reverse_names.ReverseEntry("10.254.70.177", ("a.example.com", "b.example.com"), 7),
        ),
    )
    assert [each.listed for each in skipped] == ["10.254.70.179", "10.254.70.180"]


def _key(path: str, value: bytes) -> replies.KeyValue:
    return replies.KeyValue(key=f"consuldns/k8s/{path}", value=value)


DESCRIPTOR = json.dumps(
    {
        "v": 1,
        "uid": "u",
        "type": "ClusterIP",
        "flat": "redis-default",
        "mode": "vip",
        "headless": False,
        "clusterIPs": ["10.0.0.1", "fd00::1"],
        "families": ["IPv4", "IPv6"],
        "ports": [{"port": 6379, "name": "redis"}, {"port": 53, "protocol": "UDP"}],
        "externalName": "",
        "publishNotReady": False,
        "added": "later",
    }
).encode()
REDIS = Service(
    cluster="east",
    namespace="default",
    name="redis",
    flat="redis-default",
    mode="vip",
    is_headless=False,
    cluster_ips=("10.0.0.1", "fd00::1"),
    ports=(Port("redis", "TCP", 6379), Port("", "UDP", 53)),
    external_name="",
)


def test_described_endpoints_of_all_parts_without_those_that_make_no_sense() -> None:
    http = [["http", "TCP", 8080], ["bad", "TCP", 70000]]
    places = [["10.0.0.1", ""], ["10.0.0.2", "pg-0"], ["x", ""], ["10.0.0.3", "a.b"], ["", "y"]]
    one = {"v": 1, "groups": [{"ports": http, "endpoints": places}]}
    two = {"v": 1, "groups": [{"ports": [], "endpoints": [["fd00::1", ""]]}], "more": 1}
    documents = [
        ("east/ep/default/redis", two),
        ("east/ep/default/redis/1", one),
        ("east/ep/default/redis/2", two | {"v": 2}),
        ("east/ep/default/redis/3", {"v": 1, "groups": [{"ports": [1], "endpoints": []}]}),
        ("east/ep/default/redis/4/of-others", {}),
        ("east/ep/default/missing", two),
        ("west/ep/default/redis", two),
    ]
    records = [_key(path, json.dumps(document).encode()) for path, document in documents]
    view, skipped = decoders.clusters(3, [*records, _key("east/svc/default/redis", DESCRIPTOR)])
    assert [each.listed for each in skipped] == ["east/default/redis"] * 2
    (cluster,) = view.clusters
    groups = (
        EndpointGroup((), (("fd00::1", ""),)),
        EndpointGroup(
            (Port("http", "TCP", 8080),),
            (("10.0.0.1", ""), ("10.0.0.2", "pg-0"), ("x", ""), ("", "y")),
        ),
    )
    assert cluster.services == (replace(REDIS, endpoints=groups),)
    table = view.endpoints_of(cluster.services[0])
    assert table is not None
    assert table[b"pg-0"] == [("10.0.0.2", (Port("http", "TCP", 8080),))]
    assert table.keys() >= {b"fd00--1", b"10-0-0-1", b"pg-0"}
    assert table is view.endpoints_of(cluster.services[0])
    assert view.endpoints_of(REDIS) is None


def test_clusters() -> None:
    record = {"v": 1, "cluster_uid": "u", "zone": "", "version": "1", "namespaces": ["x", "a.b"]}
    view, skipped = decoders.clusters(
        3,
        [
            _key("west/meta", json.dumps(record).encode()),
            _key("east/leader", b"not JSON"),
            _key("east/svc/default/redis", DESCRIPTOR),
            _key("east/svc/default/redis/more", b"of somebody else"),
        ],
    )
    east = Cluster("east", (), (REDIS,), is_complete=False)
    west = Cluster("west", ("x",), (), is_complete=True)
    assert view == Clusters(3, (east, west))
    assert view.complete == {"west"}
    assert not skipped


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("east/svc/default/bad", b"{"),
        ("east/svc/default/bad", b'{"v": 1}'),
        ("east/svc/default/bad", DESCRIPTOR.replace(b'"v": 1', b'"v": 2')),
        ("east/svc/default/bad", b"\xff"),
        ("east/svc/de.fault/redis", DESCRIPTOR),
        ("east/svc/default/" + "x" * 64, DESCRIPTOR),
        ("east/svc//redis", DESCRIPTOR),
        ("east/meta", b"[]"),
    ],
)
def test_a_bad_key_of_a_cluster_costs_its_neighbours_nothing(path: str, value: bytes) -> None:
    good = _key("east/svc/default/redis", DESCRIPTOR)
    view, skipped = decoders.clusters(3, [_key(path, value), good])
    east = Cluster("east", (), (REDIS,), is_complete=False)
    assert view == Clusters(3, (east,))
    assert [each.listed for each in skipped] == [path.replace("svc/", "").removesuffix("meta")]


def test_a_value_that_is_no_base64_is_skipped() -> None:
    records = [{"Key": f"consuldns/k8s/east/{path}", "Value": "%"} for path in ("meta", "else")]
    view, skipped = source_of(keys.ClusterList("dc1")).decode(3, json.dumps(records).encode())
    assert view == Clusters(3, ())
    named = [(each.name, each.listed) for each in skipped]
    assert named == [("key 'consuldns/k8s/east/meta'", "east/")]


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats(allow_nan=False)
    | strategies.text(),
    lambda inner: (
        strategies.lists(inner)
        | strategies.dictionaries(
            strategies.sampled_from(["Node", "Service", "Checks", "Key", "Value", "Address", "x"]),
            inner,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_whatever_json_comes_it_is_a_view_or_a_bad_response(value: object) -> None:
    body = json.dumps(value).encode()
    for source in (
        source_of(keys.ServiceList("dc1")),
        source_of(keys.NodeList("dc1")),
        source_of(keys.ServiceInstances("dc1", "web")),
        source_of(keys.ReverseZoneList()),
        source_of(keys.ReverseZone("10.in-addr.arpa")),
        source_of(keys.ClusterList("dc1")),
    ):
        try:
            view, _ = source.decode(1, body)
        except BadResponse:
            continue
        assert isinstance(view, View)


@given(strategies.binary(max_size=200))
def test_whatever_octets_come_they_are_a_view_or_a_bad_response(body: bytes) -> None:
    for source in (source_of(keys.NodeList("dc1")), source_of(keys.ServiceList("dc1"))):
        with contextlib.suppress(BadResponse):
            source.decode(1, body)


@given(strategies.text(), strategies.text())
def test_any_key_and_value_make_an_entry_or_none(name: str, value: str) -> None:
    record = replies.KeyValue(f"10.in-addr.arpa/{name}", 0, value.encode(errors="replace"))
    view, _ = decoders.reverse_entries(1, "10.in-addr.arpa", [record])
    for entry in view.entries:
        assert entry.targets
        assert all(target == target.strip() for target in entry.targets)
