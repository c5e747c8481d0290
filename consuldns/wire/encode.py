"""From an answer to the bytes of replies.

An answer is compiled once (`CompiledAnswer`) and then arranged for a size and an order of its
groups as often as needed; `assemble` puts an arrangement behind the id and the question of
a query. Everything that an arrangement holds is independent of both.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from consuldns import names
from consuldns.dns.answer import Answer, ExtendedError, Outcome
from consuldns.dns.question import Question
from consuldns.wire.decode import HEADER_SIZE, OPT_FIXED_SIZE, Query, Rcode, Rejection
from consuldns.wire.records import EMPTY_BLOCK, Piece, QuestionNames, Sent, encode_authority

_HEADER_TAIL = Struct("!HHHHH")  # flags and the four counts
_OPT = Struct("!BHHBBH")  # all but the options
_OPTION = Struct("!HH")
_LENGTH = Struct("!H")

_QR, _AA, _TC, _RD = 0x8000, 0x0400, 0x0200, 0x0100
_OPCODE = 0x7800
_EXTENDED_DNS_ERROR = 15  # option code, RFC 8914

ADVERTISED_SIZE = 1232  # octets over UDP: fits every path without fragments (DNS flag day 2020)
PLAIN_SIZE = 512  # octets over UDP without EDNS, RFC 1035 2.3.4
_MAX_ERROR_TEXT = 64  # octets

# Octets that every reply with OPT keeps free: the record, and one extended error without text.
_OPT_ROOM = OPT_FIXED_SIZE + _OPTION.size + 2

# Room for everything but OPT. TCP keeps it free without OPT, too, to have one room only.
_MAX_MESSAGE = 0xFFFF
TCP_ROOM = _MAX_MESSAGE - _OPT_ROOM
PLAIN_ROOM = PLAIN_SIZE

NO_OPTIONS = _LENGTH.pack(0)

# The only place where outcomes become codes.
RCODES: dict[Outcome, int] = {
    Outcome.ANSWER: Rcode.NOERROR.value,
    Outcome.NODATA: Rcode.NOERROR.value,
    Outcome.NXDOMAIN: Rcode.NXDOMAIN.value,
    Outcome.REFUSED: Rcode.REFUSED.value,
    Outcome.FORMERR: Rcode.FORMERR.value,
    Outcome.SERVFAIL: Rcode.SERVFAIL.value,
}

# Flags and counts for each of the four kinds of query (see `kind_of`), and the sections.
Heads = tuple[bytes, bytes, bytes, bytes]
Arrangement = tuple[Heads, bytes]


def kind_of(*, recursion_desired: bool, edns: bool) -> int:
    """Which of an arrangement's heads a query gets: RD is copied, OPT is counted."""
    return recursion_desired + 2 * edns


def edns_room(size: int) -> int:
    """Room for everything but OPT in a UDP reply to a client that takes `size` octets.

    Sizes in between are rounded down to a few steps, so that an answer has few arrangements.
    """
    return _SIZE_STEPS[bisect_right(_SIZE_STEPS, max(size, PLAIN_SIZE)) - 1] - _OPT_ROOM


# 1220 is what DNSSEC asks for as a minimum (RFC 4035 4.1), and what some clients send.
_SIZE_STEPS = (PLAIN_SIZE, 768, 1024, 1220, ADVERTISED_SIZE)


class CompiledAnswer:
    """An answer as octets, ready to be arranged.

    `size` is the octets of the largest reply, OPT left out; any room of at least that gets all.
    `options` is the length and content of the OPT record's data (empty: none of its own).
    `count` is the number of groups; `exclusive` says that only one of them may be sent.
    """

    __slots__ = (
        "_authority",
        "_base",
        "_flags",
        "_pieces",
        "count",
        "exclusive",
        "options",
        "rcode",
        "size",
    )

    def __init__(self, answer: Answer, question: Question) -> None:
        question_names = QuestionNames(question.name)
        self._base = HEADER_SIZE + names.wire_length(question.name) + 4
        self._authority = encode_authority(answer.authority, question_names)
        self._pieces = _encode_groups(answer, question_names)
        self.count = len(self._pieces)
        self.exclusive = answer.exclusive
        self.rcode: int = RCODES[answer.outcome]
        self._flags = _QR | (_AA if answer.authoritative else 0) | self.rcode
        sizes = [piece.size for piece in self._pieces]
        groups = max(sizes, default=0) if answer.exclusive else sum(sizes)
        self.size = self._base + self._authority.size + groups
        self.options = b""
        if answer.extended_error is not None:
            fits = self.size + OPT_FIXED_SIZE + 6 + _MAX_ERROR_TEXT <= PLAIN_SIZE
            self.options = error_options(answer.extended_error, answer.error_text if fits else "")

    def arrange(self, order: Sequence[int], room: int) -> Arrangement:
        """The records of these groups in this order, within a room (octets without OPT).

        What does not fit is left out in the order of its worth: first what Consul adds beside the
        answer, then addresses of targets, then whole groups from the end. Only the last
        is a truncation (TC, RFC 2181 section 9). What fits is sent along with TC, since clients
        that never try TCP (musl before 1.2.4) would have nothing else to go on.
        """
        flags = self._flags
        authority = self._authority
        room -= self._base + authority.size
        if room < 0:
            flags |= _TC
            room += authority.size
            authority = EMPTY_BLOCK
        pieces = [self._pieces[index] for index in order]
        answers, starts = self._arrange_answers(pieces, room)
        additional_count, additional = 0, b""
        if len(answers) < len(pieces):
            flags |= _TC
        elif any([piece.additional.count or piece.extra.count for piece in pieces]):
            room -= sum(map(len, answers))
            additional_count, additional = _arrange_additional(pieces, starts, room)
        count = sum([piece.answers.count for piece in pieces[: len(answers)]])
        heads = _heads(flags, count, authority.count, additional_count)
        return heads, b"".join((*answers, authority.placed(0), additional))

    def _arrange_answers(self, pieces: list[Piece], room: int) -> tuple[list[bytes], list[int]]:
        """The octets of the first pieces, as many as fit, and the offset of each."""
        answers: list[bytes] = []
        starts: list[int] = []
        used = 0
        for piece in pieces:
            start = self._base + used
            octets = piece.answers.placed(start)
            used += len(octets)
            if used > room:
                break
            answers.append(octets)
            starts.append(start)
        return answers, starts


def _encode_groups(answer: Answer, question: QuestionNames) -> list[Piece]:
    """The pieces, without records that another one of the same message has.

    What is more than any message can hold is not encoded: thousands of instances cost no more time
    and memory than one message does, and every arrangement of the others is truncated.
    """
    answers: Sent = set()
    additional: Sent = set()
    pieces = []
    octets = 0
    for group in answer.groups:
        if answer.exclusive:  # each is alone in its message
            answers, additional = set(), set()
        piece = Piece(group, question, answers, additional)
        # A node without the address that was asked for may still have metadata to add.
        if piece.answers.count or not group.records:
            pieces.append(piece)
        octets += piece.answers.size
        if octets > _MAX_MESSAGE and not answer.exclusive:
            break
    return pieces


def _arrange_additional(pieces: list[Piece], starts: list[int], room: int) -> tuple[int, bytes]:
    """Count and octets of as much of the additional section as there is room for."""
    placed = list(zip(pieces, starts, strict=True))
    wanted = [(p.additional.count, p.additional.placed(start)) for p, start in placed]
    extra = [(p.extra.count, p.extra.placed(start)) for p, start in placed]
    if sum([len(octets) for _, octets in wanted + extra]) <= room:
        wanted += extra
    count = 0
    fitting: list[bytes] = []
    for records, octets in wanted:
        room -= len(octets)
        if room < 0:
            break
        count += records
        fitting.append(octets)
    return count, b"".join(fitting)


@lru_cache(maxsize=4096)
def _heads(flags: int, answers: int, authority: int, additional: int) -> Heads:
    """Flags and counts for each kind of query, as in `kind_of`."""
    plain, recursive, edns, recursive_edns = (
        _HEADER_TAIL.pack(flags | recursion, 1, answers, authority, additional + opt)
        for opt in (0, 1)
        for recursion in (0, _RD)
    )
    return plain, recursive, edns, recursive_edns


def opt_start(*, dnssec_ok: bool, rcode: int = 0) -> bytes:
    """The OPT record up to its options: version 0, DO copied (RFC 6891 6.1.4, RFC 3225 3)."""
    flags = 0x8000 if dnssec_ok else 0
    return _OPT.pack(0, 41, ADVERTISED_SIZE, rcode >> 4, 0, flags)


def error_options(error: ExtendedError, text: str = "") -> bytes:
    """Length and content of OPT data with one extended error (RFC 8914 2)."""
    octets = text.encode(errors="replace")[:_MAX_ERROR_TEXT].decode(errors="ignore").encode()
    option = _OPTION.pack(_EXTENDED_DNS_ERROR, 2 + len(octets)) + _LENGTH.pack(error.value)
    return _LENGTH.pack(len(option) + len(octets)) + option + octets


def assemble(query: Query, arrangement: Arrangement, options: bytes) -> bytes:
    """The reply to a query. `options` is used only if the query has OPT."""
    heads, body = arrangement
    edns = query.edns
    head = heads[kind_of(recursion_desired=query.recursion_desired, edns=edns is not None)]
    opt = opt_start(dnssec_ok=edns.dnssec_ok) + options if edns is not None else b""
    return b"".join((query.id, head, query.asked, body, opt))


def encode_rejection(packet: bytes, rejection: Rejection) -> bytes:
    """The reply to a packet that is no query that can be answered: opcode and RD copied."""
    flags = _LENGTH.unpack_from(packet, 2)[0] & (_OPCODE | _RD) | _QR | rejection.rcode & 0xF
    edns = rejection.edns
    head = _HEADER_TAIL.pack(flags, 1 if rejection.asked else 0, 0, 0, 1 if edns else 0)
    opt = b""
    if edns is not None:
        opt = opt_start(dnssec_ok=edns.dnssec_ok, rcode=rejection.rcode) + NO_OPTIONS
    return packet[:2] + head + rejection.asked + opt
