"""Which names of Consul's domain exist, worked out from the catalog alone.

The yardstick for denials (RFC 8020): a name exists if it has data, or if one below it has. Consul
denies most of the latter, and finds nodes, SOA and NS records at names that do not exist; so it
cannot be asked.
"""

from collections.abc import Iterable

from consuldns.names import Labels, ancestors
from tests.differential.catalog import Catalog, Instance, Node, Query
from tests.differential.generate import DATACENTER
from tests.differential.settings import Settings

DOMAIN: Labels = (b"consul",)
BASES: tuple[Labels, ...] = (
    DOMAIN,
    (DATACENTER.encode(), *DOMAIN),
    (DATACENTER.encode(), b"dc", *DOMAIN),
)
KEYWORDS = (b"service", b"connect", b"virtual", b"ingress", b"node", b"query", b"addr")
DROPPED = ("critical", "")  # states of checks that take an instance away; Consul reads "" so

SERVER = Node("server-1", "127.0.0.1", instances=(Instance("consul", "consul"),))
"""What a server registers of itself."""


def is_answered(node: Node, instance: Instance, *, only_passing: bool) -> bool:
    """Whether Consul's DNS gives the instance: no check of its own or of its node is critical."""
    statuses = [check.status for check in (*node.checks, *instance.checks)]
    if only_passing:
        return all(status == "passing" for status in statuses)
    return not any(status in DROPPED for status in statuses)


class Existence:
    """The names below the domain that exist.

    `server_id` is the id of Consul's own node, `bases` what all names of the catalog are below.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        server_id: str,
        bases: tuple[Labels, ...] = BASES,
    ) -> None:
        self._bases = bases
        self._only_passing = settings.only_passing
        self._ids = [node_id.replace("-", "") for node_id in (*_ids(catalog), server_id)]
        self._proxied = [
            octets(instance.proxy_of)
            for node, instance in catalog.instances()
            if instance.proxy_of and is_answered(node, instance, only_passing=self._only_passing)
        ]
        self._with_data = frozenset(self._names_with_data(catalog))
        self._above = ancestors(
            (*self._with_data, *_dotted_services(catalog, bases), *_tags(catalog, bases))
        )
        self._answered = [
            instance
            for node, instance in catalog.instances()
            if is_answered(node, instance, only_passing=self._only_passing)
        ]

    def exists(self, name: Labels) -> bool:
        """Whether the folded name has data, or a name below it has."""
        return self.has_data(name) or self.is_empty_non_terminal(name)

    def has_data(self, name: Labels) -> bool:
        """Whether some type of record is at the name."""
        return (
            name in self._with_data
            or _is_computed_address(name)
            or self._is_node_id(name)
            or self._has_all_tags(name)
            or self._is_of_mesh(name)
            or self.is_by_protocol(name)
        )

    def is_empty_non_terminal(self, name: Labels) -> bool:
        """Whether the name exists only because names below it do."""
        is_above_queries = name[1:] in [(b"query", *base) for base in self._bases]
        is_above_queries = is_above_queries and name[0].startswith(b"_") and b"." not in name[0]
        is_above_queries = is_above_queries or self._is_protocol(name)
        return is_above_queries or (name in self._above and not self.has_data(name))

    def _names_with_data(self, catalog: Catalog) -> Iterable[Labels]:
        for base in self._bases:
            yield from ((b"*", keyword, *base) for keyword in KEYWORDS)
            yield from ((*octets(node.name), b"node", *base) for node in (*catalog.nodes, SERVER))
            for node, instance in (*catalog.instances(), (SERVER, SERVER.instances[0])):
                if is_answered(node, instance, only_passing=self._only_passing):
                    yield from _service_names(instance, base)
            yield from (
                (*octets(q.name), b"query", *base) for q in self._queries_that_find(catalog)
            )
        yield (b"ns", *DOMAIN)

    def _queries_that_find(self, catalog: Catalog) -> Iterable[Query]:
        """A prepared query has a filter of its own."""
        for query in catalog.queries:
            for node, instance in (*catalog.instances(), (SERVER, SERVER.instances[0])):
                is_its = octets(instance.service) == octets(query.service)
                if is_its and is_answered(node, instance, only_passing=query.only_passing):
                    yield query
                    break

    def is_by_protocol(self, name: Labels) -> bool:
        """`_<anything>._<tcp or udp>.<service>.service[.<dc>]`."""
        return bool(name) and name[0].startswith(b"_") and self._is_protocol(name[1:])

    def _is_protocol(self, name: Labels) -> bool:
        """`_<tcp or udp>.<service>.service[.<dc>]`, which is above such names."""
        return name[:1] in ((b"_tcp",), (b"_udp",)) and any(
            name[2:] == (b"service", *base)
            and not name[1].startswith(b"_")
            and any(octets(each.service) == name[1:2] for each in self._answered)
            for base in self._bases
        )

    def _is_of_mesh(self, name: Labels) -> bool:
        """`[<anything>.]<service>.connect[.<dc>]`, if a proxy of the service is answered."""
        return any(
            name[-len(base) - 1 :] == (b"connect", *base)
            and name[-len(base) - 2 : -len(base) - 1] in self._proxied
            for base in self._bases
        )

    def _has_all_tags(self, name: Labels) -> bool:
        """`<tag>.<tag>.<service>.service[.<dc>]`, in any order, if an instance has all of them."""
        keyword = -2 if name[-2:-1] == (b"service",) else -3
        if name[keyword:] not in [(b"service", *base) for base in self._bases]:
            return False
        tags, service = set(name[: keyword - 1]), name[keyword - 1 : keyword]
        return len(name) + keyword > 2 and any(
            octets(each.service) == service and tags <= {tag.lower().encode() for tag in each.tags}
            for each in self._answered
        )

    def _is_node_id(self, name: Labels) -> bool:
        """A node's id, or the beginning of exactly one, as Consul reads it.

        It takes text of 2 to 37 characters, ignores the last one of an odd number, wants an even
        number of digits beside at most four dashes (measured on 1.8.7).
        """
        label, rest = name[0], name[1:]
        if rest not in [(b"node", *base) for base in self._bases]:
            return False
        text = label[: len(label) // 2 * 2]
        digits = text.replace(b"-", b"").decode("latin-1")
        if not digits or len(digits) % 2 or text.count(b"-") > 4:
            return False
        return sum(node_id.startswith(digits) for node_id in self._ids) == 1


def _service_names(instance: Instance, base: Labels) -> Iterable[Labels]:
    service = octets(instance.service)
    yield (*service, b"service", *base)
    for tag in instance.tags:
        yield (*octets(tag), *service, b"service", *base)
    for tag in ("tcp", *instance.tags):
        if len(octets(tag)) == len(service) == 1:
            yield (b"_" + service[0], b"_" + octets(tag)[0], b"service", *base)
            yield (b"_" + service[0], b"_" + octets(tag)[0], *base)


def _ids(catalog: Catalog) -> Iterable[str]:
    return (node.id for node in catalog.nodes)


def _dotted_services(catalog: Catalog, bases: Iterable[Labels]) -> Iterable[Labels]:
    """Services with dots in their names: what is above them exists even if they are not healthy."""
    for _, instance in catalog.instances():
        service = octets(instance.service)
        if len(service) > 1:
            yield from ((*service, b"service", *base) for base in bases)


def _tags(catalog: Catalog, bases: Iterable[Labels]) -> Iterable[Labels]:
    """`*._tag[.service]`: what is above exists as soon as anything has the tag, healthy or not."""
    for _, instance in catalog.instances():
        for tag in instance.tags:
            for base in bases:
                yield (b"*", b"_" + tag.lower().encode(), b"service", *base)
                yield (b"*", b"_" + tag.lower().encode(), *base)


def _is_computed_address(name: Labels) -> bool:
    """`<8 or 32 hexadecimal digits>.addr`, whatever follows before the domain."""
    if len(name) < 3 or name[1] != b"addr" or name[-1:] != DOMAIN:
        return False
    return len(name[0]) in (8, 32) and all(octet in b"0123456789abcdef" for octet in name[0])


def octets(text: str) -> Labels:
    """A name of the catalog as folded labels: its dots separate."""
    return tuple(text.lower().encode().split(b"."))
