"""Which service gets which flat name."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consuldns.kubernetes.flat_names import Claim, Others, assign, shortened
from consuldns.kubernetes.types import ServiceKey

UID = "uid-of-cluster"


def claim(key: str, *, created: str = "1", wanted: str = "", policy: str = "suffix") -> Claim:
    namespace, name = key.split("/")
    return Claim((namespace, name), wanted or name, policy, (created, f"uid-{key}"))


def assigned(
    *claims: Claim, held: Mapping[str, ServiceKey] | None = None, taken: tuple[str, ...] = ()
) -> dict[str, str]:
    found = assign(claims, held or {}, Others(taken), UID, "blue")
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


labels = st.sampled_from(["a", "b", "a-b", "web", "web-a", "b-a", "consul"])
all_claims = st.lists(
    st.builds(
        Claim,
        st.tuples(labels, labels),
        labels,
        st.sampled_from(["suffix", "suffix", "skip"]),
        st.tuples(st.sampled_from("123"), st.uuids().map(str)),
    ),
    unique_by=lambda each: each.service,
    max_size=12,
)


@given(all_claims, st.sets(labels), st.randoms())
def test_names_are_unique_foreign_ones_untouched_and_decisions_stay(
    claims: list[Claim], taken: set[str], random: "object"
) -> None:
    first = assign(claims, {}, Others(taken), UID, "blue")
    names = [name for name in first.values() if name]
    assert len(set(names)) == len(names)
    assert not taken & set(names)
    assert "consul" not in names
    shuffled = sorted(claims, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert assign(shuffled, {}, Others(taken), UID, "blue") == first
    held = {name: key for key, name in first.items() if name}
    gone = claims[1:]
    again = assign(gone, held, Others(taken), UID, "blue")
    assert all(again[key] == first[key] for key in again if first[key])
