"""Prepared queries: definitions by id and by name, templates, execution.

Of one datacenter: there is no other one to fail over to. Nothing is near, so the order is random.
"""

import random
import re
import uuid
from collections.abc import Mapping, Sequence

import msgspec

from consuldns.agent.catalog import Catalog, Instance
from consuldns.agent.records import CRITICAL, PASSING, Refused, consul_name
from consuldns.agent.tables import Database, Table, Topic
from consuldns.durations import parse_duration

QUERIES: Topic = ("queries",)
PREFIX_MATCH = "name_prefix_match"
NOT_FOUND = "Query not found"
_VARIABLE = re.compile(r"\$\{(?:name\.(full|prefix|suffix)|match\((\d)\))\}")


class _Part(msgspec.Struct, frozen=True, rename=consul_name, kw_only=True):
    """A part of a definition; unlike elsewhere, unknown fields are no error."""


class QueryTemplate(_Part, frozen=True, kw_only=True):
    """What makes a query answer all names that begin with its own."""

    type: str = ""
    regexp: str = ""
    remove_empty_tags: bool = False


class QueryFailover(_Part, frozen=True, kw_only=True):
    """Other datacenters."""

    nearest_n: int = 0
    datacenters: list[str] | None = None


class QueryService(_Part, frozen=True, kw_only=True):
    """Which instances a query finds."""

    service: str = ""
    failover: QueryFailover = QueryFailover()
    only_passing: bool = False
    ignore_check_ids: list[str] | None = msgspec.field(name="IgnoreCheckIDs", default=None)
    near: str = ""
    tags: list[str] | None = None
    node_meta: dict[str, str] | None = None
    service_meta: dict[str, str] | None = None
    connect: bool = False


class QueryDNS(_Part, frozen=True, kw_only=True):
    """How the DNS answers a query."""

    ttl: str = ""


class Query(_Part, frozen=True, kw_only=True):
    """A definition."""

    id: str = ""
    name: str = ""
    session: str = ""
    token: str = ""
    template: QueryTemplate = QueryTemplate()
    service: QueryService = QueryService()
    dns: QueryDNS = msgspec.field(name="DNS", default=QueryDNS())
    create_index: int = 0
    modify_index: int = 0


class Queries:
    """The prepared queries."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._queries: Table[str, Query] = database.table()

    def all(self) -> list[Query]:
        """All definitions, in the order of their ids."""
        return sorted(self._queries.values(), key=lambda query: query.id)

    def get(self, id_: str) -> Query | None:
        """A definition by id. Raises Refused for what is no UUID."""
        if len(id_) != 36:
            raise Refused("failed prepared query lookup: index error: UUID must be 36 characters")
        return self._queries.get(id_)

    def create(self, wanted: Query) -> Query:
        """A new definition. Raises Refused."""
        return self._put(msgspec.structs.replace(wanted, id=str(uuid.uuid4())), None)

    def update(self, id_: str, wanted: Query) -> None:
        """Replace a definition. Raises Refused."""
        self._put(msgspec.structs.replace(wanted, id=id_), self._existing(id_))

    def delete(self, id_: str) -> None:
        """Delete a definition. Raises Refused."""
        self._existing(id_)
        self._queries.remove(id_)
        self._database.touch(QUERIES)

    def _existing(self, id_: str) -> Query:
        query = self._queries.get(id_)
        if query is None:
            raise Refused(f"Cannot modify non-existent prepared query: '{id_}'")
        return query

    def _put(self, query: Query, old: Query | None) -> Query:
        self._check(query)
        index = self._database.next_index
        created = index if old is None else old.create_index
        stored = msgspec.structs.replace(query, create_index=created, modify_index=index)
        self._queries.put(stored.id, stored)
        self._database.touch(QUERIES)
        return stored

    def _check(self, query: Query) -> None:
        if not query.name and not query.session and not query.template.type:
            raise Refused("Invalid prepared query: Must be bound to a session")
        if not query.service.service:
            raise Refused("Invalid prepared query: Must provide a Service name to query")
        try:
            ttl = parse_duration(query.dns.ttl) if query.dns.ttl else 0.0
        except ValueError as error:
            text = f"Invalid prepared query: Bad DNS TTL '{query.dns.ttl}': {error}"
            raise Refused(text) from None
        if ttl < 0:
            raise Refused(f"Invalid prepared query: DNS TTL '{query.dns.ttl}', must be >=0")
        if query.template.type not in ("", PREFIX_MATCH):
            raise Refused(f"failed compiling template: Bad Template.Type '{query.template.type}'")
        try:
            re.compile(query.template.regexp)
        except re.error as error:
            raise Refused(f"failed compiling template: Bad Regexp: {error}") from None
        others = (each for each in self._queries.values() if each.id != query.id)
        if query.name and any(each.name.lower() == query.name.lower() for each in others):
            raise Refused(f"name '{query.name}' aliases an existing query name")

    def resolve(self, wanted: str) -> Query | None:
        """The definition for an id or a name: that of the name, or the longest template."""
        folded = wanted.lower()
        templates: list[Query] = []
        for query in self._queries.values():
            name = query.name.lower()
            if query.template.type:
                templates += [query] if folded.startswith(name) else []
            elif folded in (query.id, name):
                return query
        template = max(templates, key=lambda query: len(query.name), default=None)
        return None if template is None else _rendered(template, wanted)

    def execute(self, query: Query) -> list[Instance]:
        """The healthy instances, in a random order."""
        service = query.service
        find = self._catalog.connect_instances if service.connect else self._catalog.instances
        found = [each for each in find(service.service.lower()) if _is_found(each, service)]
        random.shuffle(found)
        return found


def _is_found(instance: Instance, wanted: QueryService) -> bool:
    tags = {tag.lower() for tag in instance.service.tags or ()}
    statuses = [
        check.status
        for check in instance.checks
        if check.check_id not in (wanted.ignore_check_ids or ())
    ]
    return (
        CRITICAL not in statuses
        and not (wanted.only_passing and any(status != PASSING for status in statuses))
        and _has_tags(tags, wanted.tags or ())
        and _has(instance.node.meta, wanted.node_meta)
        and _has(instance.service.meta, wanted.service_meta)
    )


def _has_tags(tags: set[str], wanted: Sequence[str]) -> bool:
    """Whether all are there; one with `!` before it must not be."""
    return all(
        (each.lower() in tags) if not each.startswith("!") else (each[1:].lower() not in tags)
        for each in wanted
    )


def _has(meta: Mapping[str, str] | None, wanted: Mapping[str, str] | None) -> bool:
    return all((meta or {}).get(key) == value for key, value in (wanted or {}).items())


def _rendered(query: Query, name: str) -> Query:
    """A template with its variables replaced, for a name that begins with the template's."""
    found = re.search(query.template.regexp, name) if query.template.regexp else None
    parts = {"full": name, "prefix": query.name, "suffix": name[len(query.name) :]}

    def value(variable: re.Match[str]) -> str:
        part, group = variable.groups()
        if part is not None:
            return parts[part]
        groups = () if found is None else (found[0], *found.groups(""))
        return groups[int(group)] if int(group) < len(groups) else ""

    def replaced(text: str) -> str:
        return _VARIABLE.sub(value, text)

    service = query.service
    tags = None if service.tags is None else [replaced(tag) for tag in service.tags]
    if tags is not None and query.template.remove_empty_tags:
        tags = [tag for tag in tags if tag]
    rendered = msgspec.structs.replace(service, service=replaced(service.service), tags=tags)
    return msgspec.structs.replace(query, service=rendered)
