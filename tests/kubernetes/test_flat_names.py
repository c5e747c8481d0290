"""Which service gets which flat name."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.config.sync import CollisionPolicy
from consuldns.sync.desired.flat_names import NameClaim, Others, assign, shortened
from consuldns.sync.kubernetes.objects import ServiceKey

UID = "uid-of-cluster"


def claim(
    key: str, *, created: str = "1", wanted: str = "", policy: CollisionPolicy = "suffix"
) -> NameClaim:
    namespace, name = key.split("/")
    return NameClaim((namespace, name), wanted or name, policy, (created, f"uid-{key}"))


def given_name(
    key: str,
    wanted: str,
    *,
    created: str = "1",
    policy: CollisionPolicy = "suffix",
    alone: bool = False,
) -> NameClaim:
    """A claim by annotation; `alone` by `service-collision: suffix`."""
    plain = claim(key, created=created, wanted=wanted, policy=policy)
    return replace(plain, given=True, is_shared=not alone)


def assigned(
    *claims: NameClaim,
    held: Mapping[str, ServiceKey] | None = None,
    taken: tuple[str, ...] = (),
    handed_down: Mapping[ServiceKey, set[str]] | None = None,
) -> dict[str, str]:
    found = assign(claims, held or {}, Others(taken, handed_down or {}), UID, "blue")
    return {"/".join(key): name for key, name in found.items()}


def test_alone_it_is_the_plain_name() -> None:
    assert assigned(claim("a/web")) == {"a/web": "web"}


def test_the_older_one_has_it() -> None:
    assert assigned(claim("a/web", created="2"), claim("b/web", created="1")) == {
        "a/web": "web-a",
        "b/web": "web",
    }


def test_of_the_same_age_the_uid_decides() -> None:
    assert assigned(claim("b/web"), claim("a/web")) == {"a/web": "web", "b/web": "web-b"}


def test_who_has_it_keeps_it_although_younger() -> None:
    claims = claim("a/web", created="1"), claim("b/web", created="2")
    assert assigned(*claims, held={"web": ("b", "web")}) == {"a/web": "web-a", "b/web": "web"}


def test_a_suffix_stays_when_the_plain_name_becomes_free() -> None:
    assert assigned(claim("b/web"), held={"web-b": ("b", "web")}) == {"b/web": "web-b"}


def test_a_new_annotation_is_a_new_name() -> None:
    renamed = claim("a/web", wanted="shop")
    assert assigned(renamed, held={"web": ("a", "web")}) == {"a/web": "shop"}


@pytest.mark.parametrize("taken", [("web",), ("web", "other")])
def test_a_name_of_somebody_else_is_never_joined(taken: tuple[str, ...]) -> None:
    assert assigned(claim("a/web"), taken=taken) == {"a/web": "web-a"}


def test_the_servers_own_name_is_never_joined() -> None:
    assert assigned(claim("kube-system/consul")) == {"kube-system/consul": "consul-kube-system"}


def test_both_names_taken() -> None:
    found = assigned(claim("a/web"), taken=("web", "web-a"))["a/web"]
    assert found.startswith("web-a-")
    assert len(found) == len("web-a-") + 4


def test_foo_in_bar_baz_and_foo_bar_in_baz() -> None:
    found = assigned(
        claim("x/foo"), claim("x/foo-bar"), claim("bar-baz/foo", created="2"),
        claim("baz/foo-bar", created="3"),
    )  # fmt: skip
    assert found["bar-baz/foo"] == "foo-bar-baz"
    assert found["baz/foo-bar"].startswith("foo-bar-baz-")


def test_merge_joins_and_takes_nothing() -> None:
    found = assigned(claim("a/web", policy="merge"), claim("b/web", policy="merge"), taken=("web",))
    assert found == {"a/web": "web", "b/web": "web"}


def test_nobody_joins_those_who_merge() -> None:
    found = assigned(claim("a/web", policy="merge"), claim("b/web"))
    assert found == {"a/web": "web", "b/web": "web-b"}


def test_skip_leaves_it_out() -> None:
    found = assigned(claim("a/web"), claim("b/web", created="2", policy="skip"))
    assert found == {"a/web": "web", "b/web": ""}
    assert assigned(claim("b/web", policy="skip")) == {"b/web": "web"}


def test_long_names_are_cut_and_differ() -> None:
    names = {shortened("n" * 63 + "-" + "s" * length) for length in range(1, 60)}
    assert len(names) == 59
    assert all(len(name) == 63 for name in names)
    assert shortened("n" * 63) == "n" * 63


# --- names given by annotation -------------------------------------------------------------------


def test_services_that_are_given_one_name_are_one_service() -> None:
    both = given_name("a/cart-v1", "cart"), given_name("b/cart-v2", "cart", created="2")
    assert assigned(*both) == {"a/cart-v1": "cart", "b/cart-v2": "cart"}


def test_who_comes_later_joins() -> None:
    both = given_name("a/cart-v1", "cart"), given_name("b/cart-v2", "cart", created="2")
    assert assigned(*both, held={"cart": ("", "cart")}) == {
        "a/cart-v1": "cart",
        "b/cart-v2": "cart",
    }
    # As an earlier version, or the instances alone, have it: one of the two holds the name.
    assert assigned(*both, held={"cart": ("b", "cart-v2")}) == {
        "a/cart-v1": "cart",
        "b/cart-v2": "cart",
    }


def test_one_spelling_for_all_and_case_makes_no_other_name() -> None:
    both = given_name("a/x", "Cart"), given_name("b/y", "cART", created="2")
    assert assigned(*both, claim("c/cart", created="3")) == {
        "a/x": "Cart",
        "b/y": "Cart",
        "c/cart": "cart-c",
    }


def test_a_given_name_joins_no_service_that_is_only_called_so() -> None:
    assert assigned(claim("a/cart"), given_name("b/x", "cart", created="2")) == {
        "a/cart": "cart",
        "b/x": "cart-b",
    }


def test_a_given_name_joins_nobody_else_in_consul() -> None:
    both = given_name("a/x", "cart"), given_name("a/y", "cart")
    assert assigned(*both, taken=("cart",)) == {"a/x": "cart-a", "a/y": "cart-a"}
    merging = given_name("a/x", "cart", policy="merge")
    assert assigned(merging, taken=("cart",)) == {"a/x": "cart"}


def test_service_collision_still_decides_otherwise() -> None:
    first = given_name("a/x", "cart")
    assert assigned(first, given_name("b/y", "cart", created="2", alone=True))["b/y"] == "cart-b"
    skips = given_name("b/y", "cart", created="2", alone=True, policy="skip")
    assert assigned(first, skips) == {"a/x": "cart", "b/y": ""}
    joins = given_name("b/y", "cart", created="0", policy="merge")
    assert assigned(first, joins) == {"a/x": "cart", "b/y": "cart"}


def test_a_given_name_is_taken_as_soon_as_it_is_free() -> None:
    one = given_name("a/x", "cart")
    assert assigned(one, held={"cart-a": ("", "cart")}, taken=("cart",)) == {"a/x": "cart-a"}
    assert assigned(one, held={"cart-a": ("", "cart")}) == {"a/x": "cart"}
    # The way to take a plain name back, whatever the reason for the suffix was.
    assert assigned(given_name("a/web", "web"), held={"web-a": ("a", "web")}) == {"a/web": "web"}


@pytest.mark.parametrize("policy", ["suffix", "merge", "skip"])
def test_the_servers_own_name_is_never_given(policy: CollisionPolicy) -> None:
    found = assigned(given_name("a/x", "Consul", policy=policy), taken=("consul",))["a/x"]
    assert found.lower() != "consul"


# --- names that consul-k8s gave ------------------------------------------------------------------


def test_a_name_of_consul_k8s_is_shared_with_the_very_same_service() -> None:
    both = claim("a/web"), claim("b/web", created="2")
    found = assigned(*both, taken=("web", "web-b"), handed_down={("a", "web"): {"web"}})
    assert found["a/web"] == "web"
    assert found["b/web"].startswith("web-b-")


def test_a_suffix_because_of_consul_k8s_alone_goes() -> None:
    found = assigned(
        claim("a/web"),
        held={"web-a": ("a", "web")},
        taken=("web",),
        handed_down={("a", "web"): {"web"}},
    )
    assert found == {"a/web": "web"}


def test_what_consul_k8s_gave_to_one_is_shared_by_all_that_were_given_it() -> None:
    both = given_name("a/x", "cart"), given_name("b/y", "cart")
    found = assigned(*both, taken=("cart",), handed_down={("b", "y"): {"cart"}})
    assert found == {"a/x": "cart", "b/y": "cart"}


# --- any names -----------------------------------------------------------------------------------

labels = st.sampled_from(["a", "b", "a-b", "web", "web-a", "b-a", "consul"])
some_claim = st.builds(
    NameClaim,
    st.tuples(labels, labels),
    labels | st.sampled_from(["Web", "A", "CONSUL"]),
    st.sampled_from(["suffix", "suffix", "skip"]),
    st.tuples(st.sampled_from("123"), st.uuids().map(str)),
    *[st.booleans()] * 2,
).map(lambda each: each if each.given else replace(each, is_shared=False))
all_claims = st.lists(some_claim, unique_by=lambda each: each.service, max_size=12)


def held_by(claims: list[NameClaim], names: Mapping[ServiceKey, str]) -> dict[str, ServiceKey]:
    owners = {each.service: each.owner for each in claims}
    return {name.lower(): owners[key] for key, name in names.items() if name}


@given(all_claims, st.sets(labels), st.randoms())
def test_names_are_unique_foreign_ones_untouched_and_decisions_stay(
    claims: list[NameClaim], taken: set[str], random: "object"
) -> None:
    others = Others(taken)
    first = assign(claims, {}, others, UID, "blue")
    owners = {each.service: each.owner for each in claims}
    users: dict[str, set[ServiceKey]] = {}
    for key, name in first.items():
        if name:
            users.setdefault(name.lower(), set()).add(owners[key])
    assert all(len(each) == 1 for each in users.values())
    assert len({name for name in first.values() if name}) == len(users)  # one spelling each
    assert not taken & users.keys()
    assert "consul" not in users
    shuffled = sorted(claims, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert assign(shuffled, {}, others, UID, "blue") == first
    held = held_by(claims, first)
    assert assign(claims, held, others, UID, "blue") == first
    gone = claims[1:]
    again = assign(gone, held, others, UID, "blue")
    chosen = {each.service for each in gone if each.given}
    assert all(again[k].lower() == first[k].lower() for k in again if first[k] and k not in chosen)
    settled = assign(gone, held_by(gone, again), others, UID, "blue")
    for _ in claims:  # a name that was chosen and becomes free is taken; then all is at rest
        again, settled = settled, assign(gone, held_by(gone, settled), others, UID, "blue")
    assert again == settled
