"""DNS names as values: tuples of labels, and the reverse names of addresses.

A name is a tuple of label octets from left to right, without the root: `www.example` is
`(b"www", b"example")` and the root is `()`. Tuples, never dotted text, carry names through the
program, because a label may hold any octet, a dot too (RFC 2181 section 11). Names that are looked
up are folded to lower case in ASCII only (RFC 4343): `fold` does that, `bytes.lower` is ASCII.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

Labels = tuple[bytes, ...]
IPAddress = IPv4Address | IPv6Address

IN_ADDR_ARPA: Labels = (b"in-addr", b"arpa")
IP6_ARPA: Labels = (b"ip6", b"arpa")

# "07" and "256" are labels like any other, but no part of an address.
_OCTETS = {b"%d" % octet: octet for octet in range(256)}
_OCTETS_AS_TEXT = {str(octet): octet for octet in range(256)}

MAX_LABEL = 63  # octets, RFC 1035 section 2.3.4
MAX_NAME = 255  # octets on the wire, with length octets and the root
MAX_HOST_NAME = 253  # characters of a name without a final dot, which is the same
MAX_STRING = 255  # octets of one character string in a TXT record, RFC 1035 section 3.3
MAX_PORT = MAX_WEIGHT = 65535  # 16 bits, as in SRV records (RFC 2782)
MAX_TTL = 2**31 - 1  # seconds (RFC 2181 section 8)


def parse_name(text: str) -> Labels:
    r"""Labels of a name in presentation form, spelling kept; `\.` and `\DDD` as in RFC 1035 5.1.

    Raises ValueError for an empty label, a label over 63 octets or a name over 255.
    """
    if text in (".", ""):
        return ()
    labels: list[bytes] = []
    label = bytearray()
    octets = iter(text.encode())
    for octet in octets:
        if octet == ord("\\"):
            label.append(_escaped(octets))
        elif octet == ord("."):
            labels.append(bytes(label))
            label.clear()
        else:
            label.append(octet)
    if label:
        labels.append(bytes(label))
    name = tuple(labels)
    if not is_valid(name):
        raise ValueError(f"not a DNS name: {text!r}")
    return name


def _escaped(octets: "object") -> int:
    """The octet that an escape stands for; the backslash has been read."""
    first = next(octets, None)  # type: ignore[call-overload]
    if first is None:
        raise ValueError("a name ends in a backslash")
    if not chr(first).isdigit():
        return int(first)
    digits = chr(first) + "".join(chr(next(octets, 0)) for _ in range(2))  # type: ignore[call-overload]
    if not digits.isdigit() or int(digits) > 255:
        raise ValueError(f"not an escape: \\{digits!r}")
    return int(digits)


def parse_port(text: str) -> int:
    """The number from 1 to 65535 that the digits are. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= MAX_PORT):
        raise ValueError(f"must be a number from 1 to {MAX_PORT}")
    return int(text)


def is_valid(name: Labels) -> bool:
    """Whether the name can stand in a DNS message."""
    return all(0 < len(label) <= MAX_LABEL for label in name) and wire_length(name) <= MAX_NAME


def wire_length(name: Labels) -> int:
    """Octets of the uncompressed name in a message."""
    return sum(len(label) + 1 for label in name) + 1


def format_name(name: Labels) -> str:
    """The presentation form with a final dot, everything unusual escaped (safe for a log line)."""
    return "".join(_format_label(label) + "." for label in name) or "."


def _format_label(label: bytes) -> str:
    return "".join(
        chr(octet)
        if 0x21 <= octet <= 0x7E and octet not in b'.\\"();@$'
        else f"\\{chr(octet)}"
        if octet in b'.\\"();@$'
        else f"\\{octet:03d}"
        for octet in label
    )


def fold(name: Labels) -> Labels:
    """The name in lower case, for looking up."""
    return tuple(label.lower() for label in name)


def text_of(label: bytes) -> str | None:
    """A label as text, None if it is none: a name in Consul is UTF-8."""
    try:
        return label.decode()
    except UnicodeDecodeError:
        return None


def fold_text(text: str) -> bytes:
    """Consul's text as it is compared with labels: UTF-8, in lower case in ASCII only."""
    return text.encode().lower()


def is_below(name: Labels, zone: Labels) -> bool:
    """Whether the name is the zone's apex or below it; both folded."""
    return len(name) >= len(zone) and name[len(name) - len(zone) :] == zone


def is_reverse(name: Labels) -> bool:
    """Whether the folded name is in one of the two reverse trees."""
    return is_below(name, IN_ADDR_ARPA) or is_below(name, IP6_ARPA)


def ancestors(names: Iterable[Labels]) -> frozenset[Labels]:
    """Every name strictly above one of these, but for the root."""
    return frozenset(name[start:] for name in names for start in range(1, len(name)))


class Suffixes:
    """A set of names, to find those that a name is at or below: the longest first.

    Only lengths that occur are tried: a name under ip6.arpa has 34 labels.
    """

    def __init__(self, names: Iterable[Labels]) -> None:
        self._names = frozenset(names)
        self._lengths = sorted({len(name) for name in self._names}, reverse=True)

    def __iter__(self) -> Iterator[Labels]:
        """The names, in their order."""
        return iter(sorted(self._names))

    def of(self, name: Labels) -> list[Labels]:
        """All that the name is at or below."""
        starts = (len(name) - length for length in self._lengths if length <= len(name))
        return [name[start:] for start in starts if name[start:] in self._names]

    def longest_of(self, name: Labels) -> Labels | None:
        """The longest that the name is at or below."""
        for length in self._lengths:
            if length <= len(name) and name[len(name) - length :] in self._names:
                return name[len(name) - length :]
        return None


LENGTH_BYTES = [bytes((length,)) for length in range(256)]


def to_wire(name: Labels) -> bytes:
    """The uncompressed wire format (RFC 1035 section 3.1)."""
    return b"".join([LENGTH_BYTES[len(label)] + label for label in name]) + b"\0"


def character_strings(text: bytes) -> bytes:
    """A text as character strings of at most 255 octets (RFC 1035 section 3.3)."""
    if len(text) <= MAX_STRING:
        return LENGTH_BYTES[len(text)] + text
    parts = [text[at : at + MAX_STRING] for at in range(0, len(text), MAX_STRING)]
    return b"".join([LENGTH_BYTES[len(part)] + part for part in parts])


def from_wire(data: bytes, offset: int = 0) -> tuple[Labels, int]:
    """A name in wire format that is not compressed, and the offset behind it. Trusts the data."""
    labels: list[bytes] = []
    while length := data[offset]:
        labels.append(data[offset + 1 : offset + 1 + length])
        offset += 1 + length
    return tuple(labels), offset + 1


def reverse_name(address: IPAddress) -> Labels:
    """`d.c.b.a.in-addr.arpa` (RFC 1035 3.5) or 32 nibbles under `ip6.arpa` (RFC 3596 2.5)."""
    if isinstance(address, IPv4Address):
        return (*(b"%d" % octet for octet in reversed(address.packed)), *IN_ADDR_ARPA)
    return (*(nibble.encode() for nibble in reversed(address.packed.hex())), *IP6_ARPA)


def address_of(name: Labels) -> IPAddress | None:
    """The address that a folded reverse name stands for, None if it is not a whole one."""
    if is_below(name, IN_ADDR_ARPA):
        octets = [_OCTETS[label] for label in name[-3::-1] if label in _OCTETS]
        return IPv4Address(bytes(octets)) if len(octets) == len(name) - 2 == 4 else None
    if is_below(name, IP6_ARPA):
        nibbles = name[:-2]
        if len(nibbles) != 32 or not all(_is_nibble(nibble) for nibble in nibbles):
            return None
        return IPv6Address(bytes.fromhex(b"".join(reversed(nibbles)).decode()))
    return None


def network_of(name: Labels) -> tuple[int, str] | None:
    """The network of a folded reverse name, whole or not, None if there is none.

    As octets of an address, and the hexadecimal digits of its prefix: `254.10.in-addr.arpa` is
    (4, "0afe").
    """
    parts = name[-3::-1]
    if is_below(name, IN_ADDR_ARPA):
        octets = [_OCTETS[label] for label in parts if label in _OCTETS]
        return (4, bytes(octets).hex()) if len(octets) == len(parts) <= 4 else None
    if is_below(name, IP6_ARPA):
        if len(parts) > 32 or not all(_is_nibble(nibble) for nibble in parts):
            return None
        return 16, b"".join(parts).decode()
    return None


def _is_nibble(label: bytes) -> bool:
    return len(label) == 1 and label in b"0123456789abcdef"


def dashed(address: IPAddress | str) -> bytes:
    """An address as one label, as Kubernetes spells those of endpoints: `10-0-0-1`, `fd00--1`."""
    label = str(address).replace(".", "-").replace(":", "-").encode()
    return label + b"0" if label.endswith(b"-") else label


def undashed(label: bytes) -> IPAddress | None:
    """The address that a label spells as `dashed` does, None if it spells none."""
    text = label.decode(errors="replace")
    return parse_address(text.replace("-", ".")) or parse_address(text.replace("-", ":"))


def parse_address(text: str) -> IPAddress | None:
    """The address that Consul or Kubernetes wrote, None if it is a hostname or nothing.

    IPv6 zones (`fe80::1%eth0`) mean nothing to another host and are no address here. An IPv4
    address in IPv6's clothes (`::ffff:10.0.0.1`) is an IPv4 address, as it is to Consul.
    """
    if "%" in text:
        return None
    packed = packed_ipv4(text)
    if packed is not None:
        return IPv4Address(packed)
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def packed_ipv4(text: str) -> bytes | None:
    """The four octets of a dotted IPv4 address, None if it is none; quicker than `ipaddress`."""
    parts = text.split(".")
    if len(parts) != 4:
        return None
    try:
        return bytes([_OCTETS_AS_TEXT[part] for part in parts])
    except KeyError:
        return None


def registered_address(text: str) -> IPAddress | None:
    """The address that an instance or a node of Consul is registered with.

    As `parse_address`, but octets may have leading zeros: `010.001.000.007` is 10.1.0.7, as Consul
    1.8.7 reads it (measured; versions built with Go 1.17 and newer take it for a hostname).
    """
    address = parse_address(text)
    if address is None and text.count(".") == 3:
        octets = text.split(".")
        if all(each.isascii() and each.isdecimal() for each in octets):
            return parse_address(".".join(each.lstrip("0") or "0" for each in octets))
    return address
