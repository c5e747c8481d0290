"""Questions from a catalog and a seed: every form of a name, of existing things and of others."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from consuldns.names import Labels, fold, is_valid, parse_name, reverse_name
from tests.differential.catalog import Catalog
from tests.differential.clusters import PORT, names_of
from tests.differential.generate import DATACENTER, NODE_NAMES, SERVICE_NAMES, TAGS

TYPES = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "PTR": 12,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "SRV": 33,
    "DS": 43,
    "TYPE65": 65,
    "TYPE666": 666,
    "ANY": 255,
    "TYPE0": 0,
    "OPT": 41,
    "NXNAME": 128,
    "TKEY": 249,
    "TSIG": 250,
    "IXFR": 251,
    "AXFR": 252,
}
USUAL = {"A": 30, "SRV": 20, "AAAA": 14, "ANY": 10, "TXT": 8, "MX": 4, "PTR": 4}
TYPE_WEIGHTS = [USUAL.get(name, 3 if number < 40 else 0.5) for name, number in TYPES.items()]
IN, CHAOS, ANY_CLASS = 1, 3, 255
QUERY, STATUS, NOTIFY, UPDATE = 0, 2, 4, 5


class Transport(Enum):
    """How a question travels."""

    UDP = "udp"
    UDP_EDNS = "udp with EDNS, 1232 octets"
    TCP = "tcp"


@dataclass(frozen=True)
class Question:
    """A question: the name in the spelling that is sent, and the numbers of the message.

    `edns_version` is of no meaning over plain UDP.
    """

    name: Labels
    type: int
    transport: Transport
    class_: int = IN
    opcode: int = QUERY
    edns_version: int = 0

    @property
    def folded(self) -> Labels:
        """The name in lower case."""
        return fold(self.name)


def generate_questions(catalog: Catalog, chance: random.Random, count: int) -> list[Question]:
    """`count` questions about the catalog."""
    names = _Names(catalog, chance)
    return [_question(names, chance) for _ in range(count)]


def _question(names: "_Names", chance: random.Random) -> Question:
    name = names.any_name()
    if chance.random() < 0.2:
        name = tuple(_random_case(label, chance) for label in name)
    (type_name,) = chance.choices(tuple(TYPES), TYPE_WEIGHTS)
    if name[-1:] and fold(name)[-1] == b"arpa" and chance.random() < 0.7:
        type_name = "PTR"
    (transport,) = chance.choices(tuple(Transport), (4, 4, 2))
    (class_,) = chance.choices((IN, CHAOS, ANY_CLASS), (100, 1, 1))
    (opcode,) = chance.choices((QUERY, STATUS, NOTIFY, UPDATE), (200, 1, 1, 1))
    (edns_version,) = chance.choices((0, 1, 255), (100, 1, 1))
    return Question(name, TYPES[type_name], transport, class_, opcode, edns_version)


def _random_case(label: bytes, chance: random.Random) -> bytes:
    return bytes(
        ord(chance.choice((chr(o).lower, chr(o).upper))()) if o < 0x80 else o for o in label
    )


class _Names:
    """Makes names; each form is a method, `any_name` picks one by weight."""

    def __init__(self, catalog: Catalog, chance: random.Random) -> None:
        self.chance = chance
        instances = [instance for _, instance in catalog.instances()]
        self.services = sorted({instance.service for instance in instances})
        self.tags_of = {
            name: sorted({tag for i in instances if i.service == name for tag in i.tags})
            for name in self.services
        }
        plain = {s for s in self.services if re.fullmatch(r"[a-z0-9-]{1,63}", s)}
        self.proxied = sorted(plain | {i.proxy_of for i in instances if i.proxy_of})
        self.queries = sorted(query.name for query in catalog.queries)
        self.nodes = [node for node in catalog.nodes]
        self.addresses = _addresses(catalog)
        self.folders = sorted({key.split("/")[0] for key in catalog.keys if "ARPA/" in key.upper()})
        self.kubernetes_names = [name for key in catalog.descriptors for name in names_of(key)]
        forms: tuple[tuple[int, Callable[[], Labels]], ...] = (
            (20, self.service),
            (14, self.tagged_service),
            (8, self.rfc2782),
            (14, self.node),
            (3, self.node_by_id),
            (4, self.computed_address),
            (14, self.reverse),
            (4, self.part_of_reverse),
            (4, self.apex_and_keywords),
            (6, self.left_of_existing),
            (6, self.part_of_existing),
            (3, self.random_labels),
            (5, self.mesh),
            (4, self.prepared_query),
            *([(12, self.kubernetes_service)] if self.kubernetes_names else []),
            (2, self.outside),
        )
        self._weights = [weight for weight, _ in forms]
        self._forms = [form for _, form in forms]

    def any_name(self) -> Labels:
        """A valid name of any form."""
        while True:
            (form,) = self.chance.choices(self._forms, self._weights)
            name = form()
            if is_valid(name):
                return name

    def service(self) -> Labels:
        return self._below("service", self.service_name())

    def service_name(self) -> Labels:
        known = self.chance.random() < 0.85
        name = self.chance.choice(self.services if known else SERVICE_NAMES)
        return self._labels(name)

    def tagged_service(self) -> Labels:
        service = self.chance.choice(self.services)
        tags = self.tags_of[service] if self.chance.random() < 0.8 else TAGS
        if not tags:
            return self._below("service", self._labels(service))
        chosen = self.chance.sample(tags, min(len(tags), self.chance.choice((1, 1, 1, 1, 2))))
        left = tuple(label for tag in chosen for label in self._labels(tag))
        return self._below("service", (*left, *self._labels(service)))

    def rfc2782(self) -> Labels:
        service = self.chance.choice(self.services)
        tags = ("tcp", "udp", *self.tags_of[service])
        tag = self.chance.choice(tags)
        name = self._labels("_" + service) + self._labels("_" + tag)
        if self.chance.random() < 0.6:
            return self._below("service", name)
        return (*name, *self._datacenter(), b"consul")

    def mesh(self) -> Labels:
        """Of services that Consul lists: of others, few are looked up in a second (ADR 22)."""
        service = self.chance.choice(self.proxied)
        left = self.chance.choice(((), (), (b"x",), (b"v1", b"x")))
        keyword = self.chance.choice(("connect", "connect", "connect", "ingress"))
        return self._below(keyword, (*left, *self._labels(service)))

    def prepared_query(self) -> Labels:
        return self._below("query", self._labels(self.chance.choice(self.queries)))

    def node(self) -> Labels:
        known = self.chance.random() < 0.8
        name = self.chance.choice(self.nodes).name if known else self.chance.choice(NODE_NAMES)
        return self._below("node", self._labels(name))

    def node_by_id(self) -> Labels:
        identity = self.chance.choice(self.nodes).id
        length = self.chance.choice((1, 2, 4, 8, 9, 13, 36, 36, 37))
        return self._below("node", ((identity + "0")[:length].encode(),))

    def computed_address(self) -> Labels:
        address = ip_address(self.chance.choice(self.addresses))
        digits = address.packed.hex()
        odd = (digits[:-1], digits + "0", "x" + digits[1:], "zz", digits.upper())
        label = digits if self.chance.random() < 0.7 else self.chance.choice(odd)
        left = (b"extra",) if self.chance.random() < 0.1 else ()
        return self._below("addr", (*left, label.encode()))

    def reverse(self) -> Labels:
        if self.chance.random() < 0.15:
            octets = self.chance.choice(((10, 1, 2), (192, 168, 1), (9, 9, 9), (198, 51, 100)))
            return reverse_name(ip_address(bytes((*octets, self.chance.randrange(256)))))
        return reverse_name(ip_address(self.chance.choice(self.addresses)))

    def part_of_reverse(self) -> Labels:
        kind = self.chance.random()
        if kind < 0.2:
            return parse_name(self.chance.choice(self.folders))
        name = self.reverse()
        if kind < 0.8:
            return name[self.chance.randrange(1, len(name)) :]
        left = self.chance.choice(((b"x",), (b"0",), (b"00",), (b"256",), (b"x", b"y")))
        return (*left, *name[self.chance.choice((0, 1)) :])

    def apex_and_keywords(self) -> Labels:
        names = (
            *("", "service", "node", "addr", "query", "connect", "ingress", "virtual", "ns"),
            *("_tcp", "_udp", "_tcp.service", "_web", "_tcp.dc1", "hostmaster", "port"),
            *("web.query", "web.connect", "web.ingress", "service.service"),
            *("dc1", "dc9", "service.dc1", "node.dc1", "service.dc9", "svc", "svc.dc1", "ns.dc1"),
            *("default.svc.dc1", "web.default.svc.dc1", "web.default.service"),
        )
        return (*parse_name(self.chance.choice(names)), b"consul")

    def left_of_existing(self) -> Labels:
        """One label more than a form has."""
        form = self.chance.choice((self.service, self.node, self.rfc2782, self.tagged_service))
        extra = self.chance.choice((b"extra", b"_tcp", b"*", b"v1", b"a.b", b"node", b"service"))
        return (extra, *form())

    def part_of_existing(self) -> Labels:
        """A name with labels left out on the left: often an empty non-terminal."""
        form = self.chance.choice((self.service, self.node, self.rfc2782, self.tagged_service))
        name = form()
        return name[self.chance.randrange(1, len(name)) :]

    def random_labels(self) -> Labels:
        labels = tuple(
            bytes(
                self.chance.choice((0, 0x20, 0x2E, 0x41, 0x61, 0x5F, 0xE9, 0xFF)) for _ in range(3)
            )
            for _ in range(self.chance.choice((1, 2, 3)))
        )
        return self._below(self.chance.choice(("service", "node", "addr", "query", "zone")), labels)

    def kubernetes_service(self) -> Labels:
        """A service, its port, what is above it, or something below that is none."""
        name = self.chance.choice(self.kubernetes_names)
        extra: tuple[Labels, ...] = ((b"_tcp",), (b"_udp",), (b"x",), (b"_x", b"_tcp"))
        kind = self.chance.random()
        if kind < 0.4:
            return name
        if kind < 0.6:
            return (*PORT, *name)
        return (
            name[self.chance.choice((1, 2)) :]
            if kind < 0.8
            else (*self.chance.choice(extra), *name)
        )

    def outside(self) -> Labels:
        names = (".", "example.com", "consul.example.com", "xconsul", "arpa", "in-addr.arpa")
        return parse_name(self.chance.choice((*names, "localhost", "ip6.arpa", "version.bind")))

    def _labels(self, text: str) -> Labels:
        """A name of the catalog as labels: its dots separate, every other octet stands as it is."""
        return tuple(text.encode().split(b"."))

    def _below(self, keyword: str, left: Labels) -> Labels:
        return (*left, keyword.encode(), *self._datacenter(), b"consul")

    def _datacenter(self) -> Labels:
        choices: tuple[Labels, ...] = ((), (DATACENTER.encode(),), (b"dc9",), (b"dc1", b"dc"))
        return self.chance.choices(choices, (60, 30, 4, 2))[0]


def _addresses(catalog: Catalog) -> list[str]:
    """Every IP address that the catalog mentions."""
    texts = {
        text for node in catalog.nodes for text in (node.address, *node.tagged_addresses.values())
    }
    for _, instance in catalog.instances():
        texts.add(instance.address)
        texts |= {address for address, _ in instance.tagged_addresses.values()}
    texts |= {key.split("/")[-1] for key in catalog.keys}
    return sorted(text for text in texts if _is_address(text))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
