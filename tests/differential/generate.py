"""A catalog from a seed: ordinary things, and everything odd that Consul takes."""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from consuldns import descriptor
from consuldns.names import format_name, parse_address, reverse_name
from tests.differential.catalog import Catalog, Check, Instance, Node, Query

DATACENTER = "dc1"

SERVICE_NAMES = (
    *("web", "db", "redis-master", "redis-slave", "kibana-logging", "kube-dns", "api", "queue"),
    *("Db-Primary", "WEB2", "CamelCase", "Web"),  # looked up without regard to case
    *("under_score", "_leading", "_tcp", "tcp", "udp", "_web"),
    *(
        "dot.ted",
        "v1.web",
        "a.b.c",
        "sp ace",
        "sla/sh",
        "per%cent",
        "st*r",
        "que?ry",
        "back\\slash",
    ),
    *("node", "service", "addr", "query", "connect", "ingress", "virtual", "port", "consul"),
    *(
        "dc1",
        "arpa",
        "in-addr",
        "7f000001",
        "10",
        "svc",
        "default",
        "ns",
        "x" * 63,
        "y" * 64,
        "sérvice",
    ),
)
TAGS = (
    *(
        "primary",
        "replica",
        "v1",
        "v1.2",
        "Master",
        "tcp",
        "udp",
        "blue.green.Canary",
        "http",
        "_tcp",
    ),
    *("urlprefix-/x", "a b", "web", "service", "node", "2", "x=y", "é"),
)
NODE_NAMES = (
    *("foo", "bar", "worker-1", "worker-2", "Node-A", "UPPER", "under_score", "1", "10-0-0-1"),
    *(
        "dotted.name",
        "Foo.Dotted.Deep",
        "host.example.com",
        "a.service.b",
        "x.node",
        "addr",
        "service",
    ),
    *("node", "dc1", "consul", "in-addr.arpa", "sp ace", "sla/sh", "z" * 63, "nœud", "7f000001"),
)
META_KEYS = (
    *(
        "key",
        "Role",
        "rfc1035-plain",
        "RFC1035-Upper",
        "a=b",
        "back`quote",
        " spaced ",
        "rack",
        "empty",
    ),
    *("=", "rfc1035-", "né"),
)
# Over 255 octets in one text Consul does not answer at all: tests/cases/nodes.toml has that.
META_VALUES = ("value", "", "a=b", "back`quote", "x" * 240, 'quo"te', "tab\there", "ünïcode")
PLAIN = re.compile(r"[\w/?*%-]{1,63}", re.ASCII)  # what a message holds without escapes
STATUSES = ("passing",) * 8 + ("warning",) * 4 + ("critical",) * 3 + ("maint", "Passing", "")
FEW = 3  # instances
OUTSIDE_HOSTS = ("www.example.net", "Host.Example.NET", "db-7.example.org.", "localhost")
ADDRESSES_BESIDE_THE_POOL = ("2001:DB8:0:0::1", "::ffff:10.9.9.9", "127.0.0.1", "::1")
CLUSTER_NODE_ADDRESS = "192.0.2.1"  # as the sync worker has it
TARGETS = ("web.service.consul", "redis-master.service.dc1.consul", "Api.example.com.", "host-9")


def generate(seed: int) -> Catalog:
    """The catalog of a seed."""
    return _Generator(random.Random(seed)).catalog()


class _Generator:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.ipv4 = [str(self._ipv4()) for _ in range(40)]
        self.ipv6 = [str(self._ipv6()) for _ in range(25)]
        self.services = chance.sample(SERVICE_NAMES, 28)
        self.node_names = chance.sample(NODE_NAMES, 16)

    def catalog(self) -> Catalog:
        nodes = [self.node(name) for name in self.node_names]
        at_addresses = [node.name for node in nodes if parse_address(node.address)]
        instances: dict[str, list[Instance]] = {node.name: [] for node in nodes}
        for service in self.services:
            for instance in self.instances(service):
                # An own name stands for the node's address, which must not be a name again.
                places = at_addresses if "service" in instance.address else self.node_names
                instances[self.chance.choice(places)].append(instance)
        filled = [
            Node(**(vars(node) | {"instances": tuple(instances[node.name])})) for node in nodes
        ]
        keys = self.keys()
        nodes = [*filled, *self.cluster_nodes(filled), self.mesh_node()]
        return Catalog(tuple(nodes), keys, queries=tuple(self.queries()))

    def plain_services(self, count: int) -> list[str]:
        """Services whose names need no escapes and have no dots."""
        plain = [*filter(PLAIN.fullmatch, self.services)]
        return self.chance.sample(plain, min(count, len(plain)))

    def mesh_node(self) -> Node:
        """A node with nothing but proxies, some for the same service."""
        chosen = self.plain_services(8)
        proxies = [
            replace(
                self.instance(f"{service}-proxy", number, self.chance.choice(("", "ipv4", "ipv6"))),
                port=20_000 + number,  # a proxy must have one
                proxy_of=service,
            )
            for number, service in enumerate([*chosen, *chosen[:3]])
        ]
        address = self.chance.choice(self.ipv4)
        return Node("mesh-1", address, self.node_id(), meta=self.meta(), instances=tuple(proxies))

    def queries(self) -> Iterator[Query]:
        """Prepared queries for services that exist."""
        for number, service in enumerate(self.plain_services(10)):
            dotted = ".b" if number % 4 == 3 else ""
            yield Query(
                f"Query-{number}{dotted}",
                service,
                self.chance.random() < 0.3,
                self.chance.choice(("", "13s")),
            )

    def cluster_nodes(self, others: list[Node]) -> Iterator[Node]:
        """The nodes of Kubernetes clusters: what the sync worker wrote, and for whose addresses."""
        chance = self.chance
        of_nodes = [node.address for node in others if parse_address(node.address)]
        shared = [*self.ipv4, *self.ipv6, *of_nodes]
        for name in ("0-k8s", "k8s-east", "zz-k8s"):  # before all other nodes, among them, behind
            instances = []
            for number in range(12):
                address = chance.choice(shared) if number % 3 else self.address("ipv4")
                made = self.instance(chance.choice(self.services), 100 + number, "")
                instances.append(replace(made, address=address, checks=()))
            yield Node(
                name=name,
                address=chance.choice((CLUSTER_NODE_ADDRESS, chance.choice(self.ipv4))),
                id=self.node_id(),
                meta={descriptor.SOURCE: "kubernetes", descriptor.NODE_CLUSTER: name},
                instances=tuple(instances),
            )

    def _ipv4(self) -> IPv4Address:
        network = self.chance.choice(
            ("10.0.0.0", "10.254.70.0", "192.168.1.0", "172.20.3.0", "198.51.100.0")
        )
        return IPv4Address(int(IPv4Address(network)) + self.chance.randrange(1, 255))

    def _ipv6(self) -> IPv6Address:
        network = self.chance.choice(("fd00::", "fd12:3456:789a:1::", "2001:db8:77::"))
        return IPv6Address(int(IPv6Address(network)) + self.chance.randrange(1, 1 << 16))

    def node(self, name: str) -> Node:
        chance = self.chance
        kind = chance.choices(("ipv4", "ipv6", "host", "odd"), (10, 4, 2, 1))[0]
        tagged = {}
        for tag, pool in (("lan_ipv4", self.ipv4), ("lan_ipv6", self.ipv6), ("wan", self.ipv4)):
            if chance.random() < 0.12:
                tagged[tag] = chance.choice(pool)
        return Node(
            name=name,
            address=self.address(kind),
            id=self.node_id(),
            tagged_addresses=tagged,
            meta=self.meta(),
            checks=self.checks(f"node-{name}", often=0.25),
        )

    def meta(self) -> dict[str, str]:
        keys = self.chance.sample(META_KEYS, self.chance.choice((0, 0, 1, 2, 5)))
        return {key: self.chance.choice(META_VALUES) for key in keys}

    def node_id(self) -> str:
        digits = f"{self.chance.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def address(self, kind: str) -> str:
        chance = self.chance
        if kind == "ipv4":
            return chance.choice(self.ipv4)
        if kind == "ipv6":
            return chance.choice(self.ipv6)
        if kind == "odd":
            return chance.choice(ADDRESSES_BESIDE_THE_POOL)
        return chance.choice(
            (
                *OUTSIDE_HOSTS,
                f"{chance.choice([*filter(PLAIN.fullmatch, self.services)])}.service.consul",
                f"{chance.choice([*filter(PLAIN.fullmatch, self.node_names)])}.node.consul",
                "gone.service.consul",
                "0a000001.addr.consul",
            )
        )

    def checks(self, prefix: str, often: float) -> tuple[Check, ...]:
        count = self.chance.choice((1, 1, 2)) if self.chance.random() < often else 0
        return tuple(Check(f"{prefix}-{n}", self.chance.choice(STATUSES)) for n in range(count))

    def instances(self, service: str) -> list[Instance]:
        kinds = self.chance.choice(
            (
                ("",),
                ("ipv4",),
                ("ipv6",),
                ("ipv4", "ipv6"),
                ("", "ipv4", "ipv6", "odd"),
                ("host",),
                ("host", "ipv4", ""),
                ("own name",),
            )
        )
        count = self.chance.choices((1, 2, 3, 5, 12, 40), (6, 5, 4, 3, 1, 0.5))[0]
        if {"host", "own name"} & set(kinds):
            count = min(count, 3)  # Consul chases each CNAME of each: loops take it minutes
        found = [self.instance(service, n, self.chance.choice(kinds)) for n in range(count)]
        if count > FEW:
            # Of two that differ in weight only Consul picks one: too much chance with many of them.
            found = [replace(each, port=8000 + n) for n, each in enumerate(found)]
        return found

    def instance(self, service: str, number: int, kind: str) -> Instance:
        chance = self.chance
        address = self.address(kind) if kind not in ("", "own name") else ""
        # "Web" and "web" are one service, but two own names.
        if kind == "own name" and PLAIN.fullmatch(service) and service.lower() != "web":
            where = chance.choice(("service", f"service.{DATACENTER}"))
            address = f"{service}.{where}.consul"
        tagged = {}
        for tag, pool in (("lan_ipv4", self.ipv4), ("lan_ipv6", self.ipv6), ("wan", self.ipv4)):
            if chance.random() < 0.08:
                tagged[tag] = (chance.choice(pool), chance.choice((0, 80, 8443)))
        # Consul tells ids apart in lower case only, and there are services "web" and "Web".
        index = self.services.index(service) if service in self.services else "p"
        identity = f"{service}-{index}-{number}"
        return Instance(
            id=identity,
            service=service,
            address=address,
            port=chance.choice((0, 80, 80, 8080, 65535, 70000)),
            tags=tuple(chance.sample(TAGS, chance.choice((0, 0, 1, 2, 4)))),
            tagged_addresses=tagged,
            weights=chance.choice((None, None, (10, 3), (1, 1), (0, 0), (65535, 1), (70000, 2))),
            meta={descriptor.CLUSTER: "blue"} if chance.random() < 0.1 else {},
            checks=self.checks(identity, often=0.5),
        )

    def keys(self) -> dict[str, str]:
        """Reverse names in the layout `0.c.b.a.IN-ADDR.ARPA/a.b.c.d`, and keys that are none."""
        keys = {"unrelated/key": "value", "0.9.9.9.IN-ADDR.ARPA/not-an-address": "x.example.net"}
        known = self.chance.sample(self.ipv4, 5) + self.chance.sample(self.ipv6, 3)
        strangers = ["203.0.113.7", "2001:db8:ffff::7", "10.250.0.1"]
        for text in known + strangers:
            address = ip_address(text)
            host_labels = 1 if address.version == 4 else 16
            folder = "0." + format_name(reverse_name(address)[host_labels:]).rstrip(".")
            folder = self.chance.choice((str.upper, str.lower))(folder)
            final = self.chance.choice(("", "", "."))
            keys[f"{folder}/{text}"] = self.chance.choice(TARGETS).rstrip(".") + final
        return keys
