"""What `consuldns zone` does: lists, checks and imports the zones of Consul's KV tree."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from consuldns.config.schema import Settings
from consuldns.consul import decoders
from consuldns.consul.catalog import Catalog
from consuldns.consul.http import replies
from consuldns.consul.http.client import Client
from consuldns.consul.operations import MAX_OPERATIONS, Key, Operation, RemoveKey, SetKey, StoredKey
from consuldns.errors import ConsuldnsError
from consuldns.names import Labels, fold, format_name, parse_name
from consuldns.views.zone_records import ZoneName
from consuldns.zone_documents import document, layout, rdata, zone_file
from consuldns.zone_documents.comparison import Question
from consuldns.zone_documents.document import DocumentError

TYPES_OF_SERVICES = tuple(map(rdata.type_of, ("A", "AAAA", "SRV")))
TYPES_OF_NODES = tuple(map(rdata.type_of, ("A", "AAAA", "TXT")))
MAX_BYTES = 256 * 1024  # of the values in one transaction; Consul's limit is 512 KiB as base64


class ZoneError(ConsuldnsError):
    """There is no such zone, or one cannot be served as it is."""


@dataclass(frozen=True)
class StoredZone:
    """A zone of the KV tree: what can be read of it, and `path: problem` for each bad key."""

    folder: str
    names: tuple[ZoneName, ...]
    problems: tuple[str, ...]


@dataclass
class Import:
    """What an import changes: keys that are written, and removed. `left_out` of the file."""

    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    left_out: tuple[str, ...] = ()


async def stored(settings: Settings, zones: Sequence[str] = ()) -> list[StoredZone]:
    """These zones as they are in Consul, or all. Raises ZoneError for one that is not there."""
    wanted = {_zone(each): each for each in zones}
    async with _catalog(settings) as catalog:
        by_folder: dict[str, list[StoredKey]] = {}
        async for each in catalog.keys(f"{layout.ROOT}/"):
            split = layout.split(each.key.path)
            if split is not None:
                by_folder.setdefault(split[0], []).append(each)
    listed, bad = decoders.zone_names(0, [f"{layout.ROOT}/{folder}/" for folder in by_folder])
    for apex, name in wanted.items():
        if apex not in listed.by_apex:
            raise ZoneError(f"there is no zone {name!r} in the KV tree (see: consuldns zone list)")
    found = [
        _read(folder, by_folder[folder])
        for apex, folder in sorted(listed.by_apex.items(), key=lambda each: each[0][::-1])
        if not wanted or apex in wanted
    ]
    if not wanted:
        found += (StoredZone(each.listed, (), (f"{each.name}: {each.reason}",)) for each in bad)
    return found


async def questions(settings: Settings, zone: str) -> list[Question]:
    """Names and types that a zone has, by what is in Consul.

    Those of its KV tree, and in Consul's domain those of services, their tags, and nodes. Raises
    ZoneError if there are none.
    """
    apex = _zone(zone)
    found: list[Question] = []
    domains = (settings.dns.domain, *settings.dns.alt_domain)
    if apex in (fold(parse_name(each)) for each in domains):
        async with _catalog(settings) as catalog:
            services, nodes = await catalog.service_tags(), await catalog.node_names()
        for owner in _names_of_services(services):
            found += ((owner + apex, type_) for type_ in TYPES_OF_SERVICES)
        for owner in _valid(f"{node}.node" for node in nodes):
            found += ((owner + apex, type_) for type_ in TYPES_OF_NODES)
    for each in await stored(settings):
        if each.names and fold(layout.zone_of(each.folder)) == apex:
            for name in each.names:
                types = {record.type for record in name.records}
                types |= set(TYPES_OF_SERVICES) if name.alias is not None else set()
                found += ((name.labels + apex, type_) for type_ in sorted(types))
    if not found:
        raise ZoneError(f"{zone!r} is neither Consul's domain nor a zone of the KV tree")
    return found


def _names_of_services(services: Mapping[str, AbstractSet[str]]) -> Iterator[Labels]:
    """What is left of Consul's domain in the names of services, without and with a tag."""
    for name, tags in sorted(services.items()):
        yield from _valid([f"{name}.service", *(f"{tag}.{name}.service" for tag in sorted(tags))])


def _valid(texts: Iterable[str]) -> Iterator[Labels]:
    """Those that are names of the DNS."""
    for text in texts:
        with suppress(ValueError):
            yield parse_name(text)


def _read(folder: str, keys: list[StoredKey]) -> StoredZone:
    records = [replies.KeyValue(key=each.key.path, value=each.key.value) for each in keys]
    view, bad = decoders.zone_records(0, folder, records)
    return StoredZone(folder, view.names, tuple(f"{each.name}: {each.reason}" for each in bad))


async def import_zone(
    settings: Settings, zone: str, text: str, file: str, *, delete: bool, dry_run: bool
) -> Import:
    """Write the names of a zone file to the KV tree, those that differ from what is there.

    `delete`: and remove the names that the file lacks. Raises ZoneFileError, or a ZoneError for a
    zone file whose records cannot be served; then nothing is written.
    """
    apex = _zone(zone)
    parsed = zone_file.read(text, apex, file)
    documents = _documents(parsed.names, apex, file)
    result = Import(left_out=parsed.left_out)
    async with _catalog(settings) as catalog:
        folder = zone.removesuffix(".")
        known: dict[Labels, StoredKey] = {}
        async for each in catalog.keys(f"{layout.ROOT}/"):
            name, rest = layout.split(each.key.path) or ("", "")
            if rest and fold(_zone_or_root(name)) == apex:
                folder = name
                known[_labels(rest, apex)] = each
        operations = _changes(documents, known, folder, result, delete=delete)
        if not dry_run:
            for batch in _batches(operations):
                await catalog.apply(batch, None)
    return result


def _changes(
    documents: dict[Labels, tuple[ZoneName, str]],
    known: dict[Labels, StoredKey],
    folder: str,
    result: Import,
    *,
    delete: bool,
) -> list[Operation]:
    """The operations that bring the tree to the documents; what they do is noted in the result."""
    operations: list[Operation] = []
    for labels, (name, text) in documents.items():
        old, value = known.get(labels), text.encode()
        if old is not None and old.key.value == value:
            continue
        path = old.key.path if old is not None else layout.key(folder, name.labels)
        operations.append(SetKey(Key(path, value), old.index if old is not None else 0))
        result.written.append(path)
    if delete:
        for labels, old in known.items():
            if labels not in documents:
                operations.append(RemoveKey(old.key.path, old.index))
                result.removed.append(old.key.path)
    return operations


def _documents(
    names: tuple[ZoneName, ...], apex: Labels, file: str
) -> dict[Labels, tuple[ZoneName, str]]:
    """The document of each folded name. Raises ZoneError if one could not be served."""
    found = {}
    for name in names:
        text = document.write(name)
        try:
            document.read(text.encode(), name.labels, apex)
        except DocumentError as error:
            owner = format_name((*name.labels, *apex))
            problems = "; ".join(each.text for each in error.problems)
            raise ZoneError(f"{file}: {owner} {problems}") from error
        found[fold(name.labels)] = (name, text)
    return found


def _batches(operations: list[Operation]) -> list[list[Operation]]:
    """Transactions that Consul takes."""
    batches: list[list[Operation]] = []
    size = 0
    for each in operations:
        length = len(each.key.value) if isinstance(each, SetKey) else 0
        if not batches or len(batches[-1]) >= MAX_OPERATIONS or size + length > MAX_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(each)
        size += length
    return batches


def _zone(name: str) -> Labels:
    try:
        return fold(layout.zone_of(name))
    except ValueError as error:
        raise ZoneError(f"{name!r} is not the name of a zone: {error}") from error


def _zone_or_root(folder: str) -> Labels:
    try:
        return layout.zone_of(folder)
    except ValueError:
        return ()


def _labels(path: str, apex: Labels) -> Labels:
    """Which name a key is of; one that is of none stands for itself."""
    try:
        return fold(layout.labels_of(path, apex))
    except ValueError:
        return (path.encode(),)


@asynccontextmanager
async def _catalog(settings: Settings) -> AsyncIterator[Catalog]:
    client = Client(settings.consul)
    try:
        yield Catalog(client)
    finally:
        await client.aclose()
