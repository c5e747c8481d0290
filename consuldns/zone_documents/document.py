"""The document of a name: TOML or JSON, with its record sets or the service that it stands for."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from consuldns.errors import ConsuldnsError
from consuldns.names import MAX_TTL, Labels
from consuldns.views.zone_records import RecordSet, ServiceAlias, ZoneName
from consuldns.zone_documents import rdata

DEFAULT_TTL = 60  # seconds: how long a change may go unnoticed
MAX_RECORDS = 1_000  # of a type at a name: what a message over TCP can hold of most
_WORDS = ("ttl", "service", "tag", "datacenter")
_ADDRESSES = frozenset(map(rdata.type_of, ("A", "AAAA", "SRV")))
_CNAME, _NS, _DS = map(rdata.type_of, ("CNAME", "NS", "DS"))
_AT_CUT = frozenset((_NS, _DS, *map(rdata.type_of, ("A", "AAAA"))))
_POSITION = re.compile(r" \(at line (\d+), column \d+\)| \(byte (\d+)\)| \(at end of document\)")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and in which line; 0 if that is not known."""

    text: str
    line: int = 0

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


class DocumentError(ConsuldnsError):
    """The document cannot be used; `problems` has all that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


def read(content: bytes, labels: Labels, zone: Labels) -> ZoneName:
    """What is at a name, given by its labels left of the zone. Raises DocumentError."""
    document = _Document(content)
    values = document.load()
    ttl = document.ttl(values.get("ttl", DEFAULT_TTL), "ttl")
    alias = document.alias(values, ttl if "ttl" in values else None)
    sets = tuple(document.record_sets(values, ttl, zone))
    for text, key in _conflicts(sets, alias, labels):
        document.note(text, key)
    if not sets and alias is None and not document.problems:
        document.note("there are neither records nor a service in it")
    if document.problems:
        raise DocumentError(document.problems)
    return ZoneName(labels, sets, alias)


def write(name: ZoneName) -> str:
    """The document of a name, as TOML."""
    lines = []
    if name.alias is not None:
        lines += [f"{key} = {_quoted(value)}" for key, value in _alias_fields(name.alias)]
    ttls = [each.ttl for each in name.records]
    ttl = name.alias.ttl if name.alias is not None else max(ttls, key=ttls.count)
    if ttl is not None:
        lines.insert(0, f"ttl = {ttl}")
    for each in name.records:
        texts = [_quoted(rdata.decode(each.type, data)) for data in each.data]
        value = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        if each.ttl != ttl:
            value = f"{{ ttl = {each.ttl}, records = {value} }}"
        lines.append(f"{rdata.type_name(each.type)} = {value}")
    return "\n".join(lines) + "\n"


def _alias_fields(alias: ServiceAlias) -> Iterator[tuple[str, str]]:
    for key in ("service", "tag", "datacenter"):
        value = getattr(alias, key)
        if value:
            yield key, value


def _quoted(text: str) -> str:
    """A TOML string: JSON's are among them, but for DEL."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def _conflicts(
    sets: tuple[RecordSet, ...], alias: ServiceAlias | None, labels: Labels
) -> Iterator[tuple[str, str]]:
    """What may not stand together at one name, and the key to blame."""
    types = {each.type for each in sets}
    if alias is not None:
        for type_ in sorted(types & (_ADDRESSES | {_CNAME})):
            yield f"{rdata.type_name(type_)} and service exclude each other", "service"
    if _CNAME in types:
        if not labels:
            yield "the zone itself cannot be a CNAME, since it has SOA and NS records", "CNAME"
        if len(types) > 1:
            yield "a name with a CNAME has no other records (RFC 2181 section 10.1)", "CNAME"
        if any(len(each.data) > 1 for each in sets if each.type == _CNAME):
            yield "a name has one CNAME at most (RFC 2181 section 10.1)", "CNAME"
    if _NS in types and labels:
        if labels[0] == b"*":
            yield "a wildcard name cannot be delegated (RFC 4592 section 4.2)", "NS"
        if alias is not None or types - _AT_CUT:
            yield "a delegated name has no other records than NS, DS and addresses", "NS"


class _Document:
    """Text, and what is wrong in it so far."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._text = ""
        self.problems: list[Problem] = []

    def note(self, text: str, key: str = "", value: str = "") -> None:
        """A problem, with the line of the key, or of the value after it."""
        self.problems.append(Problem(text, self._line_of(key, value) if key else 0))

    def load(self) -> Mapping[str, Any]:
        """The values. Raises DocumentError if it is neither TOML nor JSON."""
        try:
            self._text = self._content.decode("utf-8-sig")
            if self._text.lstrip().startswith("{"):
                return msgspec.json.decode(self._text, type=dict[str, Any])
            return tomllib.loads(self._text.replace("\r\n", "\n"))
        except RecursionError:
            raise DocumentError([Problem("it is nested too deeply")]) from None
        except UnicodeDecodeError as error:
            line = self._content[: error.start].count(b"\n") + 1
            raise DocumentError([Problem("it is not UTF-8", line)]) from error
        except ValueError as error:  # of both
            is_json = self._text.lstrip().startswith("{")
            raise DocumentError(
                [self._syntax(str(error), "JSON" if is_json else "TOML")]
            ) from error

    def _syntax(self, reason: str, language: str) -> Problem:
        position = _POSITION.search(reason)
        line = 0
        if position is not None:
            at = position[2] and self._content[: int(position[2])].count(b"\n") + 1
            line = int(position[1] or at or self._text.count("\n") + 1)
        reason = _POSITION.sub("", reason).removeprefix("JSON is malformed: ")
        return Problem(f"it is not valid {language}: {reason}", line)

    def _line_of(self, key: str, value: str) -> int:
        """The line where a key is, or a value at or behind it; no parser keeps positions."""
        is_key = re.compile(rf"""[\s{{,]*["']?{re.escape(key)}["']?\s*[=:]""", re.IGNORECASE)
        lines = self._text.splitlines()
        start = next((at for at, line in enumerate(lines) if is_key.match(line)), None)
        if start is None:
            return 0
        found = (at for at in range(start, len(lines)) if value in lines[at])
        return next(found, start) + 1

    def ttl(self, value: Any, key: str) -> int:
        """A TTL in seconds."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TTL:
            self.note(f"ttl must be a number of seconds, not {value!r:.40}", key, "ttl")
            return DEFAULT_TTL
        return value

    def alias(self, values: Mapping[str, Any], ttl: int | None) -> ServiceAlias | None:
        """The service that the name stands for."""
        texts = {key: values[key] for key in _WORDS[1:] if key in values}
        for key, value in texts.items():
            if not isinstance(value, str) or not value:
                self.note(f"{key} must be a text, not {value!r:.40}", key)
            elif key != "service" and "service" not in values:
                self.note(f"{key} says nothing without a service", key)
        if "service" not in texts or self.problems:
            return None
        return ServiceAlias(**texts, ttl=ttl)

    def record_sets(self, values: Mapping[str, Any], ttl: int, zone: Labels) -> Iterator[RecordSet]:
        """The record sets, those without a problem."""
        seen: set[int] = set()
        for key, value in values.items():
            if key in _WORDS:
                continue
            try:
                type_ = rdata.type_of(key.upper())
            except ValueError as error:
                near = difflib.get_close_matches(key.lower(), _WORDS, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self.note(f"{error}{hint}", key)
                continue
            if type_ in seen:
                self.note(f"{key} is there twice", key)
            seen.add(type_)
            own_ttl, texts = self._texts(key, value, ttl)
            data = [each for text in texts for each in self._encoded(key, type_, text, zone)]
            if data:
                yield RecordSet(type_, own_ttl, tuple(dict.fromkeys(data)))

    def _texts(self, key: str, value: Any, ttl: int) -> tuple[int, list[str]]:
        """TTL and data: `"…"`, `["…"]`, or `{ ttl = …, records = … }`."""
        if isinstance(value, dict):
            unknown = set(value) - {"ttl", "records"}
            if unknown or "records" not in value:
                self.note(f"{key} has `ttl` and `records`, not {', '.join(sorted(value))}", key)
                return ttl, []
            ttl, value = self.ttl(value.get("ttl", ttl), key), value["records"]
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
            self.note(f"{key} must be a text or a list of texts", key)
            return ttl, []
        if not texts:
            self.note(f"{key} has no records", key)
        if len(texts) > MAX_RECORDS:
            self.note(f"{key} has {len(texts):,} records, more than {MAX_RECORDS:,}", key)
            return ttl, []
        return ttl, texts

    def _encoded(self, key: str, type_: int, text: str, zone: Labels) -> Iterator[bytes]:
        try:
            yield rdata.encode(type_, text, zone)
        except ValueError as error:
            self.note(f"{key}: {error}", key, text)
