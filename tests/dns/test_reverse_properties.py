"""Reverse names, whatever is in the catalog: what the sync worker wrote gives none by itself."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from consuldns import descriptor
from consuldns.dns.answer import Address, Answer, Data, Outcome, Target
from consuldns.dns.policy import Policy
from consuldns.dns.question import Type
from consuldns.names import Labels, fold, parse_address, reverse_name
from consuldns.views.store import ViewStore
from tests.dns.test_kubernetes_properties import kubernetes_services, policies
from tests.dns.test_properties import ask, register_payloads
from tests.support import kubernetes_data
from tests.support.catalog import Catalog, Payload
from tests.support.properties import examples

# Those of `kubernetes_services` and `register_payloads`, and some that nothing else has.
ADDRESSES = [
    *("10.0.0.1", "10.0.1.2", "10.8.0.1", "fd00::1", "fd00::8", "127.0.0.1", "203.0.113.9"),
    *("2001:db8::1", "198.51.100.7", kubernetes_data.NODE_ADDRESS),
]
MARK = {descriptor.CLUSTER: "east"}
NODE_MARK = {descriptor.NODE_CLUSTER: "east"}


@st.composite
def marked_payloads(draw: st.DrawFn) -> Payload:
    """An instance that has a mark: by its own metadata or by its node's, in any service."""
    payload = draw(register_payloads())
    by_node = draw(st.booleans())
    name = draw(st.sampled_from(["k8s-east", "k8s-west", "aaa"]))
    return {
        **payload,
        "Node": name if by_node else "plain",
        "ID": "",
        "Datacenter": "dc1",
        "Address": draw(st.sampled_from(ADDRESSES)) if by_node else "host.example",
        "NodeMeta": NODE_MARK if by_node else {},
        "Service": {
            "ID": draw(st.sampled_from(["0", "1", "zz"])),
            "Service": draw(st.sampled_from(["db", "web", "flat", "only-here"])),
            "Address": draw(st.sampled_from(ADDRESSES)),
            "Port": 80,
            "Meta": {} if by_node and draw(st.booleans()) else MARK,
        },
        "Checks": [],
    }


@st.composite
def reverse_keys(draw: st.DrawFn) -> dict[str, str]:
    """Keys as the worker and people write them, for some of the addresses."""
    chosen = draw(st.lists(st.sampled_from(ADDRESSES), max_size=2, unique=True))
    found = {}
    for text in chosen:
        name = reverse_name(ip_address(text))
        host = 1 if len(name) == 6 else 16
        folder = ".".join(label.decode() for label in (b"0", *name[host:]))
        found[f"{folder}/{text}"] = draw(st.sampled_from(["by.hand.example", "db.service.consul"]))
    return found


others = st.lists(register_payloads(), max_size=3)
marked = st.lists(marked_payloads(), min_size=1, max_size=5)
some_services = st.lists(kubernetes_services, max_size=4)


def is_marked(payload: Payload) -> bool:
    meta: dict[str, str] = payload.get("Service", {}).get("Meta", {})
    return descriptor.is_marked(meta, payload.get("NodeMeta", {}))


def names_at_or_above(addresses: list[str]) -> Iterator[Labels]:
    """The reverse names of addresses, and every name above them down to a whole tree."""
    seen: set[Labels] = set()
    for text in addresses:
        name = reverse_name(ip_address(text))
        seen.update(name[start:] for start in range(len(name) - 2))
    return iter(sorted(seen))


def what(answer: Answer) -> Any:
    return answer.outcome, answer.groups, answer.authoritative


@examples(150)
@given(others, marked, some_services, reverse_keys(), policies)
def test_marked_instances_and_nodes_do_not_exist_for_reverse_names(
    register: list[Payload],
    with_mark: list[Payload],
    services: list[Payload],
    kv: dict[str, str],
    policy: Policy,
) -> None:
    """At addresses and above them, for every type: the same as in a catalog without them."""
    register = [payload for payload in register if payload["Node"] not in ("plain", "aaa")]
    synced = [*with_mark, *kubernetes_data.registrations(services)]
    plain: Payload = {"Node": "plain", "Address": "host.example"}
    without = Catalog(datacenters=["dc1", "dc2"], register=[*register, plain], kv=kv)
    everything = replace(without, register=[*register, plain, *synced])
    before, after = without.views(), everything.views()
    for name in names_at_or_above(ADDRESSES):
        for type_ in (Type.PTR, Type.ANY, Type.SOA, Type.A):
            wanted, found = (ask(name, type_, each, policy) for each in (before, after))
            if found.outcome is Outcome.ANSWER and type_ in (Type.SOA, Type.ANY):
                assert (wanted.outcome, wanted.authoritative) == (found.outcome, True), name
            else:
                assert what(found) == what(wanted), name


@examples(200)
@given(others, marked, some_services, reverse_keys(), policies)
def test_without_a_key_only_cluster_ips_have_reverse_names_and_those_lead_back(
    register: list[Payload],
    with_mark: list[Payload],
    services: list[Payload],
    kv: dict[str, str],
    policy: Policy,
) -> None:
    catalog = Catalog(
        datacenters=["dc1", "dc2"],
        register=[*register, *with_mark, *kubernetes_data.registrations(services)],
        kv=kv | kubernetes_data.keys(services, []),
    )
    views = catalog.views()
    wanting = {
        address
        for service in services
        if not service["headless"] and not service["external_name"]
        for address in service["cluster_ips"]
        if service["reverse"] in (descriptor.FLAT, descriptor.NESTED)
    }
    of_others = set(addresses_of(payload for payload in catalog.register if not is_marked(payload)))
    keyed = {key.partition("/")[2] for key in kv}
    for text in set(ADDRESSES) - keyed - of_others:
        address = ip_address(text)
        answer = ask(reverse_name(address), Type.PTR, views, policy)
        if text not in wanting:
            assert not data(answer), text
            assert answer.outcome is not Outcome.ANSWER
            continue
        for pointer in data(answer):
            assert isinstance(pointer, Target)
            assert leads_to(address.packed, fold(pointer.name), views, policy), pointer


def addresses_of(payloads: Iterator[Payload]) -> Iterator[str]:
    """Addresses of nodes and instances, in the form of `ADDRESSES`."""
    for payload in payloads:
        for text in (payload["Address"], payload.get("Service", {}).get("Address", "")):
            address = parse_address(text)
            if address is not None and payload.get("Datacenter", "dc1") == "dc1":
                yield str(address)


def leads_to(packed: bytes, name: Labels, views: ViewStore, policy: Policy) -> bool:
    type_ = Type.A if len(packed) == 4 else Type.AAAA
    return Address(packed) in data(ask(name, type_, views, policy))


def data(answer: Answer) -> set[Data]:
    return {record.data for each in answer.groups for record in each.records}
