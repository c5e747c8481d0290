"""What the test knows beside the replies: the catalog, and a Consul that can be asked more.

Consul's DNS denies some names that this server answers, though its catalog holds what they mean:
names with octets that it sees in their escaped form, services with dots in their names, several
tags. The same instances can be had from it through a prepared query, and the same node by its id:
so Consul itself says what the answer is to be.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import dns.name

from consuldns.names import Labels, fold, is_below, parse_name
from tests.differential.catalog import Catalog
from tests.differential.clusters import ClusterNames
from tests.differential.exchange import ask
from tests.differential.existence import BASES, DOMAIN, KEYWORDS, SERVER, Existence, octets
from tests.differential.questions import TYPES, Question, Transport
from tests.differential.replies import Record, Reply, decode
from tests.differential.reverse import ReverseNames
from tests.differential.settings import Settings
from tests.support.consul_agent import ConsulAgent

# The differences that hide what Consul has.
ESCAPED, DOTTED, TAGS = "escaped-names", "dotted-service-names", "several-tags"

PLAIN_OCTETS = frozenset(range(0x21, 0x7F)) - frozenset(b" '@;()\"\\.")

_NUMBERS = itertools.count()  # of prepared queries, whose names a Consul takes once


class World:
    """A catalog in a Consul that has these settings.

    `agent` is asked for names; `holder` has the catalog if that is in another datacenter.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        agent: ConsulAgent,
        holder: ConsulAgent | None = None,
    ) -> None:
        self.catalog = catalog
        self.settings = settings
        self._agent = agent
        self._holder = holder or agent
        server = self._holder.client.get(f"/v1/catalog/node/{SERVER.name}").json()["Node"]
        bases = BASES if holder is None else BASES[1:]
        self.existence = Existence(catalog, settings, server["ID"], bases)
        self.reverse = ReverseNames(catalog)
        self.clusters = ClusterNames(catalog.descriptors)
        services = {octets(instance.service) for _, instance in catalog.instances()}
        self._dotted_services = {service for service in services if len(service) > 1}
        self._spellings = _spellings(catalog)
        self._silence: set[Question] = set()
        self._queries: dict[tuple[bytes, Labels], Labels] = {}

    def ask(self, name: Labels, type_: str | int) -> Reply | None:
        """What Consul answers over TCP, where it cuts nothing; None if it keeps silent."""
        number = TYPES[type_] if isinstance(type_, str) else type_
        question = Question(name, number, Transport.TCP)
        if question in self._silence:
            return None
        (reply,) = ask(("127.0.0.1", self._agent.dns_port), [question])
        if reply is None:
            self._silence.add(question)  # it took seconds to be sure of it
        return None if reply is None else decode(reply)

    def spelling(self, name: Labels) -> Labels:
        """The name in the spelling that an instance has as its address, if one has it."""
        return self._spellings.get(fold(name), name)

    def is_address(self, name: Labels) -> bool:
        """Whether an instance or a node has the folded name as its address."""
        return name in self._spellings

    def ask_best(self, name: Labels, type_: str | int) -> Reply | None:
        """What Consul answers to the name, or else to another name of the same thing."""
        reply = self.ask(self.spelling(name), type_)
        for difference in (ESCAPED, DOTTED, TAGS):
            if reply is not None and reply.rcode == "NXDOMAIN":
                reply = self.ask_otherwise(difference, name, type_) or reply
        return reply

    def ask_otherwise(self, difference: str, name: Labels, type_: str | int) -> Reply | None:
        """What Consul answers when it is asked so that this difference is out of the way.

        None if the difference is not in the way, or if there is nothing behind it.
        """
        folded = fold(name)
        for other in self._other_names(difference, folded):
            reply = self.ask(other, type_)
            if reply is not None and reply.rcode != "NXDOMAIN":
                return _renamed(reply, other, folded)
        return None

    def _other_names(self, difference: str, name: Labels) -> Iterator[Labels]:
        keyword, parts, locality = split_name(name)
        if not parts or any(b"." in label or not _is_text(label) for label in name):
            return  # nothing in Consul has such a name
        if keyword == b"node" and difference == ESCAPED and needs_escapes(name):
            for node in self.catalog.nodes:
                if octets(node.name) == parts:
                    yield (node.id.encode(), b"node", *locality, *DOMAIN)
        if keyword == b"service":
            for service, tags in self._meanings(difference, name, parts):
                yield (*self._prepared_query(service, tags), *locality, *DOMAIN)

    def _meanings(
        self, difference: str, name: Labels, parts: Labels
    ) -> Iterator[tuple[bytes, Labels]]:
        """The services and tags that the parts of a name mean without a difference."""
        if difference == ESCAPED and needs_escapes(name):
            service, tag = parts[-1], b".".join(parts[:-1])
            if len(parts) == 2 and service.startswith(b"_") and tag.startswith(b"_"):
                service, tag = tag[1:], b"" if service == b"_tcp" else service[1:]
            yield service, (tag,) if tag else ()
        if difference == DOTTED and b"service" in name:
            for start in range(len(parts) - 1):
                if parts[start:] in self._dotted_services:
                    tag = b".".join(parts[:start])
                    yield b".".join(parts[start:]), (tag,) if tag else ()
        if difference == TAGS and b"service" in name and len(parts) > 2:
            yield parts[-1], parts[:-1]

    def _prepared_query(self, service: bytes, tags: Labels) -> Labels:
        """The name, without the domain, of a query for the instances that have all the tags."""
        if (service, tags) not in self._queries:
            name = f"differential-{next(_NUMBERS)}"
            wanted = {
                "Service": service.decode(),
                "Tags": [tag.decode() for tag in tags],
                "OnlyPassing": self.settings.only_passing,
            }
            reply = self._holder.client.post("/v1/query", json={"Name": name, "Service": wanted})
            reply.raise_for_status()
            self._queries[service, tags] = (name.encode(), b"query")
        return self._queries[service, tags]


def _spellings(catalog: Catalog) -> dict[Labels, Labels]:
    """By folded name: the names below the domain that are addresses of instances, as written."""
    texts = [node.address for node in catalog.nodes]
    texts += [instance.address for _, instance in catalog.instances()]
    written = [parse_name(text) for text in texts]
    return {fold(name): name for name in written if is_below(fold(name), DOMAIN)}


def needs_escapes(name: Labels) -> bool:
    """Whether Consul sees something else than the octets that were asked for."""
    return any(octet not in PLAIN_OCTETS for label in name for octet in label)


def split_name(name: Labels) -> tuple[bytes, Labels, Labels]:
    """The last keyword of a folded name, what is left of it, and what is right but the domain.

    Without a keyword, a label with an underscore makes it a service's name, as SRV allows.
    """
    inner = name[: -len(DOMAIN)]
    for position in range(len(inner) - 1, -1, -1):
        if inner[position] in KEYWORDS:
            return inner[position], inner[:position], inner[position + 1 :]
    for position in range(len(inner) - 1, -1, -1):
        if inner[position].startswith(b"_"):
            return b"service", inner[: position + 1], inner[position + 1 :]
    return b"", (), inner


def _is_text(label: bytes) -> bool:
    try:
        label.decode()
    except UnicodeDecodeError:
        return False
    return True


def _renamed(reply: Reply, old: Labels, new: Labels) -> Reply:
    owner, wanted = _text(old), _text(new)

    def rename(records: frozenset[Record]) -> frozenset[Record]:
        return frozenset(
            replace(each, owner=wanted) if each.owner == owner else each for each in records
        )

    return replace(reply, answer=rename(reply.answer), additional=rename(reply.additional))


def _text(name: Labels) -> str:
    """As dnspython writes it."""
    return dns.name.Name((*name, b"")).to_text().lower()
