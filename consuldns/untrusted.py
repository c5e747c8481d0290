"""JSON that others wrote: read as a type, or `Unreadable`, whatever it holds.

msgspec raises more than its own errors: RecursionError for a thousand nested arrays, even in a
field that nobody reads and in a `Raw`; UnicodeDecodeError for octets that are not UTF-8. And one
record that cannot be read fails the whole list. So all JSON from Consul, Kubernetes and kubeconfig
files is read here: a list in one go, and only if that fails, record by record.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec

from consuldns.errors import ConsuldnsError

T = TypeVar("T")

# Numbers of any size are JSON, and an `int` to msgspec. These are what other languages can hold,
# and what fits into MessagePack between our processes.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
MAX_UINT64 = 2**64 - 1

MAX_REASON = 160  # characters: a reason may quote what was sent


class Unreadable(ConsuldnsError):
    """The text is not JSON, or not of the type that it should be."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A record that was skipped because it cannot be read, as it was sent."""

    content: bytes
    reason: str


def read(content: bytes | msgspec.Raw, decoder: "msgspec.json.Decoder[T]") -> T:
    """The value. Raises Unreadable, and nothing else, for whatever else was sent."""
    try:
        return decoder.decode(content)
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except Exception as error:  # the decoder has seen nothing but the content: that is the cause
        reason = str(error) or type(error).__name__
        raise Unreadable(reason[:MAX_REASON]) from error


def read_as(content: bytes | msgspec.Raw, kind: type[T]) -> T:
    """The same, for what is not read often enough to keep a decoder."""
    return read(content, msgspec.json.Decoder(kind))


class Records(Generic[T]):
    """Reads a list of one kind of records; `null` is how Go writes an empty one."""

    def __init__(self, kind: type[T]) -> None:
        self._all = msgspec.json.Decoder(list[kind] | None)  # type: ignore[valid-type]
        self._one = msgspec.json.Decoder(kind)

    def read(self, content: bytes) -> tuple[list[T], list[Unread]]:
        """The records, and those that were skipped. Raises Unreadable if it is not a list."""
        try:
            return read(content, self._all) or [], []
        except Unreadable:
            return read_each(elements(content), self._one)


def read_each(
    contents: list[bytes], decoder: "msgspec.json.Decoder[T]"
) -> tuple[list[T], list[Unread]]:
    """The values that can be read, and those that cannot."""
    good: list[T] = []
    bad: list[Unread] = []
    for content in contents:
        try:
            good.append(read(content, decoder))
        except Unreadable as error:
            bad.append(Unread(content, str(error)))
    return good, bad


# The slow path: lists and objects are cut into their parts without recursion, so that depth does
# not matter. The parts are not checked here: they are read by themselves, or not at all. It takes
# 0.1 to 0.2 s for a megabyte of instances, and up to 7 s for the largest body that is taken (64 MB;
# CPython 3.11), during which control does nothing else and workers answer from what they have.

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},"]', re.DOTALL)
_KEY = re.compile(rb'\s*+("(?:[^"\\]++|\\.)*+")\s*+:', re.DOTALL)
_WHITE = b" \t\r\n"
_text = msgspec.json.Decoder(str)


def elements(content: bytes) -> list[bytes]:
    """The elements of a JSON array. Raises Unreadable if it is none, or broken off."""
    return _parts(content, b"[")


def members(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name (as JSON) and value of each member of a JSON object; Unreadable as above."""
    for part in _parts(content, b"{"):
        name = _KEY.match(part)
        if name is None:
            raise Unreadable("it is not valid JSON: a member has no name")
        yield name[1], part[name.end() :]


Part = bytes | msgspec.Raw
_list = msgspec.json.Decoder(list[msgspec.Raw] | None)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def split_list(content: Part) -> Sequence[Part]:
    """The elements of a list, not read yet; `null` has none. Raises Unreadable."""
    try:
        return read(content, _list) or ()
    except Unreadable:
        return elements(bytes(content))


def split_object(content: Part) -> Mapping[str, Part]:
    """The members of an object, not read yet. Raises Unreadable."""
    try:
        return read(content, _object)
    except Unreadable:
        found: dict[str, Part] = {}
        for name, value in members(bytes(content)):
            with suppress(Unreadable):
                found[read(name, _text)] = value
        return found


def find(content: bytes, *path: str) -> str:
    """A text somewhere in nested objects, however broken the rest is; empty if there is none."""
    try:
        for name in path:
            content = next(value for key, value in members(content) if read(key, _text) == name)
        return read(content, _text)
    except (Unreadable, StopIteration):
        return ""


def _parts(content: bytes, opening: bytes) -> list[bytes]:
    found: list[bytes] = []
    depth = start = 0
    end = None
    if not content.lstrip(_WHITE).startswith(opening):
        raise Unreadable(f"it is not a JSON {'array' if opening == b'[' else 'object'}")
    for token in _TOKEN.finditer(content):
        kind = token[0]
        if kind == b"," and depth == 1:
            found.append(content[start : token.start()])
            start = token.end()
        elif kind in (b"[", b"{"):
            depth += 1
            if depth == 1:
                start = token.end()
        elif kind in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                end = token.end()
                found.append(content[start : token.start()])
                break
        elif kind == b'"':
            break  # a text that does not end
    if end is None or content[end:].strip(_WHITE):
        raise Unreadable("it is not valid JSON: it is incomplete, or has trailing data")
    return [] if len(found) == 1 and not found[0].strip(_WHITE) else found
