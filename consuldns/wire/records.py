"""Resource records in wire format, with name compression (RFC 1035 sections 3 and 4.1.4).

A compiled answer is sent behind questions in any case and in many orders, so a name may point
to two places only: into the question, which stands at a fixed offset, or to a target that its own
group holds, whose offset is known once that of the group is.
"""

from collections.abc import Iterable
from struct import Struct

from consuldns.dns.answer import (
    Address,
    Data,
    RawData,
    Record,
    RecordGroup,
    ServiceTarget,
    Target,
    Text,
)
from consuldns.names import LENGTH_BYTES, Labels, character_strings, to_wire
from consuldns.wire.decode import HEADER_SIZE

_FIXED = Struct("!HHIH")  # type, class, TTL, length of the data
_CLASS_IN = 1
_SRV = Struct("!HHH")
_SOA_NUMBERS = Struct("!IIIII")
_POINTER = Struct("!H")
_POINTER_MARK = 0xC000
_POINTER_SIZE = 2
_REACH = 0x3FFF  # the highest offset that a pointer can name
_MAX_DATA = 0xFFFF  # bytes of a record's data: the length has 16 bits
_NO_TARGET = -1
_NOWHERE = (_NO_TARGET, b"")
_QUESTION_NAME = b"\xc0\x0c"

# A record whose owner may be a target of its group: the target's offset from the
# group's start (or -1), the owner written out, and everything behind the owner.
_Encoded = tuple[int, bytes, bytes]

# Where the targets of a group stand, from its start, and their bytes there. Keyed by the
# name as spelled: an owner that is spelled in another way is written out, rare and harmless.
_Targets = dict[Labels, tuple[int, bytes]]

# Records that a section has already: the owner, and everything behind it.
Sent = set[tuple[Labels, bytes]]


class QuestionNames:
    """The question's name and the names above it, which stand at the same place in every reply."""

    __slots__ = ("_name", "_pointers", "class_", "is_compressed")

    def __init__(
        self, name: Labels, class_: int = _CLASS_IN, *, is_compressed: bool = True
    ) -> None:
        self._name = name
        self.class_ = class_  # that of all records of the reply
        self.is_compressed = is_compressed
        self._pointers = {name: _QUESTION_NAME}

    def compressed(self, name: Labels) -> bytes:
        """The name in wire format; what the question has of it is a pointer into that."""
        if not self.is_compressed:
            return to_wire(name)
        pointer = self._pointers.get(name)
        if pointer is not None:
            return pointer
        above = self._pointers.get(name[1:])
        if above is not None:
            return LENGTH_BYTES[len(name[0])] + name[0] + above
        queried = self._name
        left, right = len(name), len(queried)
        while left and right:
            label, ours = name[left - 1], queried[right - 1]
            if label != ours and label.lower() != ours:
                break
            left -= 1
            right -= 1
        if left == len(name):
            return to_wire(name)
        offset = HEADER_SIZE + right + sum(map(len, queried[:right]))
        pointer = _POINTER.pack(_POINTER_MARK | offset)
        self._pointers[name[left:]] = pointer
        return b"".join([LENGTH_BYTES[len(label)] + label for label in name[:left]]) + pointer


class EncodedRecords:
    """Records of one section that stay together. `size` in bytes, with all targets in reach."""

    __slots__ = ("_bytes", "_records", "count", "size")

    def __init__(self, records: list[_Encoded]) -> None:
        self.count = len(records)
        self._records: list[_Encoded] | None = None
        self._bytes = b"".join([owner + rest for _, owner, rest in records])
        self.size = len(self._bytes)
        if records and max(records)[0] != _NO_TARGET:
            self._records = records
            self.size = len(self.at(HEADER_SIZE))

    def at(self, start: int) -> bytes:
        """The bytes, if the group that they belong to starts at this offset."""
        if self._records is None:
            return self._bytes
        # Only answers of over 16 kB, sent over TCP, have targets out of the reach of pointers.
        last = _REACH - start
        return b"".join(
            [
                (_POINTER.pack(_POINTER_MARK | start + target) if 0 <= target <= last else owner)
                + rest
                for target, owner, rest in self._records
            ]
        )


NO_RECORDS = EncodedRecords([])


class EncodedGroup:
    """A record group in wire format: for the answer section, and for the additional one.

    `size` in bytes, of all of them.
    """

    __slots__ = ("additional", "answers", "optional", "size", "weight")

    def __init__(
        self, group: RecordGroup, question: QuestionNames, answers: Sent, additional: Sent
    ) -> None:
        targets: _Targets = {}
        self.weight = group.weight
        self.answers = _encode(group.records, question, answers, targets, first=True)
        self.additional = self.optional = NO_RECORDS
        self.size = self.answers.size
        if group.additional:
            self.additional = _encode(group.additional, question, additional, targets)
            self.size += self.additional.size
        if group.optional_additional:
            self.optional = _encode(group.optional_additional, question, additional, targets)
            self.size += self.optional.size


def encode_authority(records: Iterable[Record], question: QuestionNames) -> EncodedRecords:
    """The records of the authority section."""
    return _encode(records, question, set(), {})


def _encode(
    records: Iterable[Record],
    question: QuestionNames,
    sent: Sent,
    targets: _Targets,
    *,
    first: bool = False,
) -> EncodedRecords:
    """The records that were not `sent` yet; an owner that is one of the `targets` points there.

    With `first`, the records are those that a group begins with: their targets are noted.
    """
    encoded: list[_Encoded] = []
    offset = 0
    for record in records:
        data = _encode_data(record.data, question)
        if len(data) > _MAX_DATA:
            continue  # metadata may be a megabyte; no message can carry that
        rest = _FIXED.pack(record.type, question.class_, record.ttl, len(data)) + data
        identity = (record.owner, rest)
        if identity in sent:
            continue
        sent.add(identity)
        target, owner = targets.get(record.owner, _NOWHERE)
        if target == _NO_TARGET:
            owner = question.compressed(record.owner)
        encoded.append((target, owner, rest))
        if first and question.is_compressed:
            offset += _FIXED.size + (_POINTER_SIZE if target != _NO_TARGET else len(owner))
            _note_target(record.data, data, offset, targets)
            offset += len(data)
    return EncodedRecords(encoded) if encoded else NO_RECORDS


def _note_target(data: Data, encoded: bytes, offset: int, targets: _Targets) -> None:
    """Remember where a target stands, given the record's data and the offset of its bytes."""
    if isinstance(data, ServiceTarget):
        targets.setdefault(data.name, (offset + _SRV.size, encoded[_SRV.size :]))
    elif isinstance(data, Target):
        targets.setdefault(data.name, (offset, encoded))


def _encode_data(data: Data, question: QuestionNames) -> bytes:
    if isinstance(data, Address):
        return data.packed
    if isinstance(data, ServiceTarget):
        # The target is not compressed (RFC 2782).
        return _SRV.pack(data.priority, data.weight, data.port) + to_wire(data.name)
    if isinstance(data, Text):
        return b"".join([character_strings(string) for string in data.strings]) or b"\0"
    if isinstance(data, RawData):
        return data.content
    if isinstance(data, Target):
        return question.compressed(data.name)
    return (
        question.compressed(data.mname)
        + question.compressed(data.rname)
        + _SOA_NUMBERS.pack(
            data.serial & 0xFFFFFFFF, data.refresh, data.retry, data.expire, data.minimum
        )
    )
