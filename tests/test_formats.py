"""Formats that two sides share: what one writes, the other reads back as it was."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consuldns import descriptor, names, reverse_layout
from consuldns.descriptor import (
    MAX_META,
    MAX_META_VALUE,
    AnyKey,
    DescriptorKey,
    EndpointsKey,
    LeaderKey,
    NameKey,
    NameOwner,
    RecordKey,
)
from consuldns.names import IPAddress

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(exclude_characters="/"), max_size=12)
keys: st.SearchStrategy[AnyKey] = st.one_of(
    st.builds(RecordKey, labels),
    st.builds(LeaderKey, labels),
    st.builds(DescriptorKey, labels, texts, texts),
    st.builds(EndpointsKey, labels, texts, texts, st.integers(1, 99).map(str) | st.just("")),
    st.builds(NameKey, st.text(min_size=1, max_size=70)),
)
ports = st.tuples(
    st.from_regex(r"([A-Za-z0-9_-]{1,63})?", fullmatch=True),
    st.sampled_from(["TCP", "UDP", "SCTP"]),
    st.integers(1, 65535),
)


def _is_plain(address: IPAddress) -> bool:
    """Not an IPv4 address mapped into IPv6, which is read as the IPv4 address."""
    return address.version == 4 or address.ipv4_mapped is None


addresses = st.ip_addresses().filter(_is_plain)


@given(keys)
def test_a_path_is_read_as_it_was_built(key: AnyKey) -> None:
    assert descriptor.parse_path(key.path) == key


@given(keys, keys)
def test_two_keys_have_two_paths(one: AnyKey, other: AnyKey) -> None:
    assert (one == other and type(one) is type(other)) == (one.path == other.path)


@given(st.text())
def test_a_path_that_is_read_is_built_the_same(text: str) -> None:
    for path in (text, descriptor.ROOT + text, descriptor.NAMES + text):
        key = descriptor.parse_path(path)
        # A part that is empty is not written: `.../ep/<namespace>/<name>/` is nobody's.
        assert key is None or key.path in (path, path.removesuffix("/"))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "consuldns/k8s/",
        "consuldns/k8s/blue",
        "consuldns/k8s/blue/svc/default",
        "consuldns/k8s/blue/svc/default/web/more",
        "consuldns/k8s/blue/ep/default/web/1/2",
        "consuldns/k8s/blue/meta/more",
        "elsewhere/blue/svc/default/web",
    ],
)
def test_a_path_of_others_is_no_key_of_ours(path: str) -> None:
    assert descriptor.parse_path(path) is None


@given(labels, labels | st.just(""), labels)
def test_the_owner_of_a_name_is_read_as_it_was_written(
    cluster: str, namespace: str, name: str
) -> None:
    owner = NameOwner(cluster, namespace, name)
    assert descriptor.parse_owner(owner.value) == owner


@given(st.binary())
def test_an_owner_that_others_wrote_is_read_without_an_error(value: bytes) -> None:
    assert len(descriptor.parse_owner(value)) == 3


@given(st.lists(ports, max_size=150), st.integers(0, MAX_META))
def test_ports_are_read_as_they_were_written(given: list[tuple[str, str, int]], room: int) -> None:
    meta, left = descriptor.write_ports(given, room)
    assert len(meta) <= room
    assert all(len(value.encode()) <= MAX_META_VALUE for value in meta.values())
    assert all(map(descriptor.is_own, meta))
    read = descriptor.read_ports(meta)
    assert len(read) == len(given) - left
    assert read == tuple(given) if not left else set(read) <= set(given)


@given(st.dictionaries(st.sampled_from(["k8s-ports", "k8s-ports-2"]), st.text(max_size=40)))
def test_ports_that_others_wrote_are_ports_or_nothing(meta: dict[str, str]) -> None:
    assert all(map(descriptor.is_port, descriptor.read_ports(meta)))


@given(labels | st.just(""), labels | st.just(""))
def test_the_label_of_an_endpoint_is_read_as_it_was_written(hostname: str, label: str) -> None:
    label = hostname or label
    meta = descriptor.write_label(hostname, label)
    assert descriptor.read_label({k: v for k, v in meta.items() if v}) == label


@given(addresses)
def test_an_address_is_read_from_its_label(address: IPAddress) -> None:
    label = names.dashed(address)
    assert names.undashed(label) == address
    assert names.is_valid((label,))
    assert set(label.decode()) <= {*string.hexdigits, "-"}
    assert not label.startswith(b"-") or ":" in str(address)


@given(addresses)
def test_a_reverse_key_says_its_address_and_is_found_by_it(address: IPAddress) -> None:
    path = reverse_layout.key(address)
    assert reverse_layout.is_key(path)
    assert names.parse_address(reverse_layout.address_in(path)) == address
    folder, _, _ = path.rpartition("/")
    assert folder == reverse_layout.folder(address)
    name, reverse_name = reverse_layout.folder_name(folder), names.reverse_name(address)
    assert name is not None
    assert reverse_layout.folder_around(reverse_name) == name
    apex = reverse_layout.apex(name)
    assert names.is_below(reverse_name, apex)
    assert len(reverse_name) - len(apex) == (1 if address.version == 4 else 16)


@given(addresses, addresses)
def test_two_addresses_share_a_folder_if_their_network_is_the_same(
    one: IPAddress, other: IPAddress
) -> None:
    assume(one.version == other.version)
    size = 3 if one.version == 4 else 8
    is_same = one.packed[:size] == other.packed[:size]
    assert is_same == (reverse_layout.folder(one) == reverse_layout.folder(other))


@given(addresses, st.booleans(), st.booleans())
def test_a_folder_is_the_same_in_either_case_and_with_a_final_dot(
    address: IPAddress, is_lower: bool, has_dot: bool
) -> None:
    folder = reverse_layout.folder(address)
    spelled = (folder.lower() if is_lower else folder) + "." * has_dot
    assert reverse_layout.folder_name(spelled) == reverse_layout.folder_name(folder)


@pytest.mark.parametrize("folder", ["", "consuldns", "IN-ADDR.ARPA", "0.1.2.3.example", "a..b"])
def test_a_folder_of_others_has_no_reverse_name(folder: str) -> None:
    assert reverse_layout.folder_name(folder) is None
