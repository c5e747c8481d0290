"""The promise behind blocking queries: whenever a reply changes, its index grows.

Random changes are made, and after each one every reply is compared with the one before: nobody
who waits can miss a change, and (for keys) nobody is woken without one.
"""

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from consuldns.agent.catalog import CHECKS, NODES, SERVICES, Deregistration, Registration
from consuldns.agent.http import shapes
from consuldns.agent.records import Check, Entry, Refused, Service
from consuldns.agent.state import State
from tests.support.properties import examples

NAMES = ("a", "b", "ab")
PREFIXES = ("", "a", "b", "ab", "abc")

names = st.sampled_from(NAMES)
services = st.builds(
    Service,
    id=names,
    service=names,
    port=st.integers(1, 2),
    kind=st.sampled_from(["", "connect-proxy", "ingress-gateway", "terminating-gateway"]),
    proxy=st.fixed_dictionaries({"DestinationServiceName": names}),
    connect=st.sampled_from([None, {"Native": True}]),
)
checks = st.builds(
    Check,
    check_id=names,
    service_id=st.just("") | names,
    status=st.sampled_from(["passing", "critical"]),
)
registrations = st.builds(
    Registration,
    node=names,
    address=st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    service=st.none() | services,
    check=st.none() | checks,
)
deregistrations = st.builds(
    Deregistration, node=names, service_id=st.just("") | names, check_id=st.just("") | names
)
gateways = st.fixed_dictionaries(
    {"Kind": st.just("terminating-gateway"), "Name": names}
    | {"Services": st.lists(st.fixed_dictionaries({"Name": names}), max_size=2)}
) | st.fixed_dictionaries(
    {"Kind": st.just("ingress-gateway"), "Name": names}
    | {
        "Listeners": st.lists(
            st.fixed_dictionaries({"Services": st.lists(st.fixed_dictionaries({"Name": names}))}),
            max_size=2,
        )
    }
)
no_gateways = st.tuples(st.sampled_from(["terminating-gateway", "ingress-gateway"]), names)
catalog_changes = registrations | deregistrations | gateways | no_gateways


def new_state() -> State:
    return State(datacenter="dc1", node="here", clock=lambda: 0.0)


def replies(state: State) -> dict[str, tuple[bytes, int]]:
    """Every reply of the catalog with its index."""
    catalog, index_of = state.catalog, state.database.index_of
    found: dict[str, tuple[object, int]] = {
        "nodes": ([shapes.node(each) for each in catalog.nodes()], index_of(NODES)),
        "checks": ([shapes.check(each) for each in catalog.checks()], index_of(CHECKS)),
        "services": (
            sorted({service.service for _, service in catalog.service_instances()}),
            index_of(SERVICES),
        ),
    }
    for name in NAMES:
        instances = catalog.instances(name)
        of_connect = catalog.connect_instances(name)
        of_ingress = catalog.ingress_instances(name)
        node = catalog.node(name)
        on_node = [shapes.service(each) for each in catalog.services_on(name)]
        found |= {
            f"node {name}": ((node and shapes.node(node), on_node), index_of(("node", name))),
            f"service {name}": (
                [shapes.catalog_service(each) for each in instances],
                index_of(("service", name)),
            ),
            f"health {name}": (
                [shapes.health_entry(each) for each in instances],
                index_of(("health", name)),
            ),
            f"connect {name}": (
                [shapes.health_entry(each) for each in of_connect],
                index_of(("connect", name)),
            ),
            f"ingress {name}": (
                [shapes.health_entry(each) for each in of_ingress],
                index_of(("ingress", name)),
            ),
        }
    return {what: (msgspec.json.encode(body), index) for what, (body, index) in found.items()}


def apply(state: State, change: object) -> None:
    try:
        with state.change():
            if isinstance(change, Registration):
                state.catalog.register(change)
            elif isinstance(change, Deregistration):
                state.catalog.deregister(change)
            elif isinstance(change, dict):
                state.gateways.put(change)
            elif isinstance(change, tuple):
                state.gateways.delete(*change)
    except Refused:
        pass


def registered(**fields: object) -> Registration:
    return msgspec.convert({"Node": "a", "Address": "10.0.0.1"} | fields, Registration)


MOVED_CHECK = [
    registered(Service={"Service": "a"}, Check={"CheckID": "c", "ServiceID": "a"}),
    registered(Service={"Service": "b"}, Check={"CheckID": "c", "ServiceID": "b"}),
]


@example(MOVED_CHECK)
@examples(150)
@given(st.lists(catalog_changes, max_size=25))
def test_no_change_of_the_catalog_is_missed(changes: list[object]) -> None:
    state = new_state()
    before = replies(state)
    for change in changes:
        apply(state, change)
        after = replies(state)
        for what, (body, index) in after.items():
            old_body, old_index = before[what]
            assert index >= old_index, what
            assert index <= state.database.index, what
            assert body == old_body or index > old_index, (what, change)
        before = after


keys = st.sampled_from(PREFIXES[1:])
kv_changes = st.tuples(st.sampled_from(["set", "delete", "delete_tree"]), keys, st.booleans())


@given(st.lists(kv_changes, max_size=25))
def test_no_change_of_a_key_is_missed_and_nobody_is_woken_without(
    changes: list[tuple[str, str, bool]],
) -> None:
    state = new_state()

    def seen() -> list[tuple[object, int]]:
        trees = [(state.kv.under(each), state.kv.index_under(each)) for each in PREFIXES]
        return [*trees, *((state.kv.get(each), state.kv.index_of(each)) for each in PREFIXES)]

    before = seen()
    for verb, key, flag in changes:
        with state.change():
            if verb == "set":
                state.kv.set(Entry(key=key, value=b"v", flags=int(flag)))
            else:
                getattr(state.kv, verb)(key)
        after = seen()
        for (old_body, old_index), (body, index) in zip(before, after, strict=True):
            assert (body != old_body) == (index > old_index)
        before = after
