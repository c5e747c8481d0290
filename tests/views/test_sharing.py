"""Equal parts of views are one object."""

import pytest

from consuldns.views import model, reverse_names, sharing
from consuldns.views.model import Health
from consuldns.views.sharing import SharedParts


def node(address: str = "10.0.0.1") -> model.Node:
    return model.Node("n", "", address, "dc1", {"lan": address}, {"a": "b"})


def instances(count: int, address: str = "10.0.0.1") -> model.Instances:
    """Instances that have equal parts, and share none of them."""
    return model.Instances(
        7,
        tuple(
            model.Instance(
                node=node(address),
                id=str(number),
                service="".join(("w", "eb")),
                address="",
                port=80,
                tags=tuple(["v1"]),
                meta={"team": "a"},
                tagged_addresses={},
                weight_passing=1,
                weight_warning=1,
                health=Health.PASSING,
            )
            for number in range(count)
        ),
    )


def test_equal_parts_become_one_object() -> None:
    parts, view = SharedParts(), instances(2)
    shared = parts.share(view)
    assert shared == view
    assert isinstance(shared, model.Instances)
    first, second = shared.instances
    for name in ("node", "service", "tags", "meta"):
        assert getattr(first, name) is getattr(second, name)
    nodes = parts.share(model.Nodes(8, (node(),)))
    assert isinstance(nodes, model.Nodes)
    assert nodes.nodes[0] is first.node


def test_node_that_changed_is_the_new_one() -> None:
    parts = SharedParts()
    parts.share(instances(1))
    changed = instances(1, "10.0.0.2")
    assert parts.share(changed) == changed


def test_empty_tags_metadata_and_text_are_told_apart() -> None:
    parts = SharedParts()
    bare = model.Instances(
        1, (model.Instance(node(), "", "", "", 0, (), {}, {}, 1, 1, Health.PASSING),)
    )
    assert parts.share(bare) == bare


def test_bound_only_costs_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MAX_PARTS", 1)
    parts = SharedParts()
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1"):
        view = instances(3, address)
        assert parts.share(view) == view


def test_other_views_are_left_alone() -> None:
    zones = reverse_names.ReverseZones(1, ("10.in-addr.arpa",))
    assert SharedParts().share(zones) is zones
