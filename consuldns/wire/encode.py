"""From an answer to the bytes of replies.

An answer is compiled once (`CompiledAnswer`) and then rendered for a size and an order of its
groups as often as needed; `assemble` puts a rendering behind the id and the question of a query.
Everything in a rendering is independent of both.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from consuldns import names
from consuldns.dns.answer import Answer, ExtendedError, Outcome
from consuldns.dns.policy import MAX_IDENTITY, MessagePolicy
from consuldns.dns.question import Question
from consuldns.wire.decode import (
    HEADER_SIZE,
    NSID,
    OPT_FIXED_SIZE,
    PADDING,
    Edns,
    Query,
    Rcode,
    Rejection,
)
from consuldns.wire.records import NO_RECORDS, EncodedGroup, QuestionNames, Sent, encode_authority

_HEADER_TAIL = Struct("!HHHHH")  # flags and the four counts
_OPT = Struct("!BHHBBH")  # all but the options
_OPTION = Struct("!HH")
_LENGTH = Struct("!H")

_QR, _AA, _TC, _RD, _RA, _AD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020
_OPCODE = 0x7800
_EXTENDED_DNS_ERROR = 15  # option code, RFC 8914

ADVERTISED_SIZE = 1232  # bytes over UDP: fits every path without fragments (DNS flag day 2020)
PLAIN_SIZE = 512  # bytes over UDP without EDNS, RFC 1035 2.3.4
_MAX_ERROR_TEXT = 64  # bytes

# Bytes that every reply with OPT has reserved: the record, and one extended error without text.
RESERVED = OPT_FIXED_SIZE + _OPTION.size + 2

COOKIE_OPTION_SIZE = _OPTION.size + 24  # bytes that are reserved as well if the query has a cookie
_KEEPALIVE_OPTION_SIZE = _OPTION.size + 2
PADDING_BLOCK = 468  # bytes

# Sizes without OPT. TCP reserves its bytes even without one in the query: one size less.
_MAX_MESSAGE = 0xFFFF
_ALL_OPTIONS = COOKIE_OPTION_SIZE + _KEEPALIVE_OPTION_SIZE + 2 * _OPTION.size + MAX_IDENTITY
TCP_MAX_SIZE = _MAX_MESSAGE - RESERVED - _ALL_OPTIONS
PLAIN_MAX_SIZE = PLAIN_SIZE

NO_OPTIONS = _LENGTH.pack(0)
_OPT_START = _OPT.pack(0, 41, ADVERTISED_SIZE, 0, 0, 0)[:5]

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
Headers = tuple[bytes, bytes, bytes, bytes]
Rendering = tuple[Headers, bytes]


def kind_of(*, recursion_desired: bool, edns: bool) -> int:
    """Which of a rendering's headers a query gets: RD is copied, OPT is counted."""
    return recursion_desired + 2 * edns


def size_of_options(edns: Edns, identity: bytes) -> int:
    """Bytes of the options that a reply over UDP gets because of those of the query."""
    size = COOKIE_OPTION_SIZE if edns.cookie else 0
    return size + (_OPTION.size + len(identity) if identity and NSID in edns.asks_for else 0)


def edns_max_size(size: int, most: int = ADVERTISED_SIZE) -> int:
    """The size, without OPT, of the largest UDP reply to a client that takes `size` bytes.

    At most `most` with OPT. Sizes in between are rounded down to a few steps, so that an answer has
    few renderings.
    """
    if size >= most:
        return most - RESERVED
    return _SIZE_STEPS[bisect_right(_SIZE_STEPS, max(size, PLAIN_SIZE)) - 1] - RESERVED


# 1220 is what DNSSEC asks for as a minimum (RFC 4035 4.1), and what some clients send.
_SIZE_STEPS = (PLAIN_SIZE, 768, 1024, 1220, ADVERTISED_SIZE, 1452, 2048, 4096, 8192, 16384, 32768)


class CompiledAnswer:
    """An answer in wire format, ready to be rendered.

    `size` is that of the largest reply in bytes, without OPT; clients that accept it get all.
    `options` is the length and content of the OPT record's data (empty: none of its own).
    `count` is the number of groups, `weights` are theirs if they decide the order; `exclusive` says
    that only one of them may be sent.
    """

    __slots__ = (
        "_authority",
        "_base",
        "_flags",
        "_groups",
        "_truncated",
        "count",
        "exclusive",
        "options",
        "rcode",
        "size",
        "weights",
    )

    def __init__(self, answer: Answer, question: Question, messages: MessagePolicy) -> None:
        question_names = QuestionNames(
            question.name, question.class_, is_compressed=not messages.disable_compression
        )
        self._base = HEADER_SIZE + names.wire_length(question.name) + 4
        self._authority = encode_authority(answer.authority, question_names)
        self._groups = _encode_groups(answer, question_names)
        self.count = len(self._groups)
        self.weights = [group.weight for group in self._groups] if answer.by_weight else []
        self.exclusive = answer.exclusive
        self.rcode: int = RCODES[answer.outcome]
        self._flags = _flags_of(answer)
        self._truncated = _TC if messages.enable_truncate else 0
        sizes = [group.size for group in self._groups]
        groups = max(sizes, default=0) if answer.exclusive else sum(sizes)
        self.size = self._base + self._authority.size + groups
        self.options = b""
        if answer.extended_error is not None:
            options = COOKIE_OPTION_SIZE + _OPTION.size + 2 + _MAX_ERROR_TEXT
            fits = self.size + OPT_FIXED_SIZE + options <= PLAIN_SIZE
            self.options = error_options(answer.extended_error, answer.error_text if fits else "")

    def render(self, order: Sequence[int], max_size: int, *, is_part: bool = False) -> Rendering:
        """The records of these groups in this order, within a size (bytes without OPT).

        `is_part`: there are other groups, which a limit leaves out.

        What does not fit is left out in the order of its worth: first what Consul adds beside the
        answer, then addresses of targets, then whole groups from the end. Only the last
        is a truncation (TC, RFC 2181 section 9). What fits is sent along with TC, since clients
        that never try TCP (musl before 1.2.4) would have nothing else to go on.
        """
        flags = self._flags | (self._truncated if is_part else 0)
        authority = self._authority
        left = max_size - self._base - authority.size
        if left < 0:
            flags |= self._truncated
            left += authority.size
            authority = NO_RECORDS
        groups = [self._groups[index] for index in order]
        answers, starts = self._render_answers(groups, left)
        additional_count, additional = 0, b""
        if len(answers) < len(groups):
            flags |= self._truncated
        elif any([group.additional.count or group.optional.count for group in groups]):
            left -= sum(map(len, answers))
            additional_count, additional = _render_additional(groups, starts, left)
        count = sum([group.answers.count for group in groups[: len(answers)]])
        headers = _headers(flags, count, authority.count, additional_count)
        return headers, b"".join((*answers, authority.at(0), additional))

    def _render_answers(
        self, groups: list[EncodedGroup], left: int
    ) -> tuple[list[bytes], list[int]]:
        """The bytes of the first groups, as many as fit, and the offset of each."""
        answers: list[bytes] = []
        starts: list[int] = []
        used = 0
        for group in groups:
            start = self._base + used
            encoded = group.answers.at(start)
            used += len(encoded)
            if used > left:
                break
            answers.append(encoded)
            starts.append(start)
        return answers, starts


def _encode_groups(answer: Answer, question: QuestionNames) -> list[EncodedGroup]:
    """The groups, without records that another one of the same message has.

    What is more than any message can hold is not encoded: thousands of instances cost no more time
    and memory than one message does, and every rendering of the others is truncated.
    """
    answers: Sent = set()
    additional: Sent = set()
    groups = []
    size = 0
    for group in answer.groups:
        if answer.exclusive:  # each is alone in its message
            answers, additional = set(), set()
        encoded = EncodedGroup(group, question, answers, additional)
        # A node without an address of the type in question may still have metadata to add.
        if encoded.answers.count or not group.records:
            groups.append(encoded)
        size += encoded.answers.size
        if size > _MAX_MESSAGE and not answer.exclusive:
            break
    return groups


def _render_additional(
    groups: list[EncodedGroup], starts: list[int], left: int
) -> tuple[int, bytes]:
    """Count and bytes of as much of the additional section as fits into what is left."""
    placed = list(zip(groups, starts, strict=True))
    wanted = [(group.additional.count, group.additional.at(start)) for group, start in placed]
    optional = [(group.optional.count, group.optional.at(start)) for group, start in placed]
    if sum([len(encoded) for _, encoded in wanted + optional]) <= left:
        wanted += optional
    count = 0
    fitting: list[bytes] = []
    for records, encoded in wanted:
        left -= len(encoded)
        if left < 0:
            break
        count += records
        fitting.append(encoded)
    return count, b"".join(fitting)


@lru_cache(maxsize=4096)
def _headers(flags: int, answers: int, authority: int, additional: int) -> Headers:
    """Flags and counts for each kind of query, as in `kind_of`."""
    plain, recursive, edns, recursive_edns = (
        _HEADER_TAIL.pack(flags | recursion, 1, answers, authority, additional + opt)
        for opt in (0, 1)
        for recursion in (0, _RD)
    )
    return plain, recursive, edns, recursive_edns


def _flags_of(answer: Answer) -> int:
    """The header's flags but for TC, and RD, which is the query's."""
    flags = _QR | RCODES[answer.outcome]
    if answer.authoritative:
        flags |= _AA
    if answer.recursion_available:
        flags |= _RA
    if answer.authentic_data:
        flags |= _AD
    return flags


def opt_start(*, dnssec_ok: bool, rcode: int = 0) -> bytes:
    """The OPT record up to its options: version 0, DO copied (RFC 6891 6.1.4, RFC 3225 3)."""
    flags = 0x8000 if dnssec_ok else 0
    return _OPT.pack(0, 41, ADVERTISED_SIZE, rcode >> 4, 0, flags)


def error_options(error: ExtendedError, text: str = "") -> bytes:
    """Length and content of OPT data with one extended error (RFC 8914 2)."""
    printable = "".join([each if each.isprintable() else "?" for each in text])
    encoded = printable.encode(errors="replace")[:_MAX_ERROR_TEXT].decode(errors="ignore").encode()
    option = _OPTION.pack(_EXTENDED_DNS_ERROR, 2 + len(encoded)) + _LENGTH.pack(error.value)
    return _LENGTH.pack(len(option) + len(encoded)) + option + encoded


def assemble(query: Query, rendering: Rendering, options: bytes) -> bytes:
    """The reply to a query. `options` is used only if the query has OPT."""
    headers, body = rendering
    edns = query.edns
    header = headers[kind_of(recursion_desired=query.recursion_desired, edns=edns is not None)]
    opt = opt_start(dnssec_ok=edns.dnssec_ok) + options if edns is not None else b""
    return b"".join((query.id, header, query.question_section, body, opt))


def truncated(query: Query, reply: bytes) -> bytes:
    """A reply without records, with TC, in place of another one to this query (RFC 2181 9)."""
    flags = _LENGTH.unpack_from(reply, 2)[0] & ~_RD | _TC
    return assemble(query, (_headers(flags, 0, 0, 0), b""), NO_OPTIONS)


def option(code: int, data: bytes) -> bytes:
    """An EDNS option (RFC 6891 6.1.2)."""
    return _OPTION.pack(code, len(data)) + data


def padding(size: int) -> bytes:
    """The option that makes a message of this size one of whole blocks (RFC 8467 section 4.1)."""
    size += _OPTION.size
    return option(PADDING, bytes(min(-size % PADDING_BLOCK, max(_MAX_MESSAGE - size, 0))))


def with_options(reply: bytes, options: bytes) -> bytes:
    """A reply with more EDNS options; unchanged if it has no OPT record.

    OPT is the last record of a reply, and has an extended error at most, whose text is printable.
    """
    start = len(reply) - OPT_FIXED_SIZE
    if not (reply.startswith(_OPT_START, start) and reply.endswith(NO_OPTIONS)):
        start = reply.rfind(_OPT_START, -OPT_FIXED_SIZE - _OPTION.size - 2 - _MAX_ERROR_TEXT)
        if start < 0:
            return reply
    at = start + OPT_FIXED_SIZE
    length = _LENGTH.pack(len(reply) - at + len(options))
    return b"".join((reply[: at - _LENGTH.size], length, reply[at:], options))


def encode_rejection(packet: bytes, rejection: Rejection) -> bytes:
    """The reply to a packet that is not a query that can be answered: opcode copied.

    RD too, unless the operation is not known, for which the bit may mean something else.
    """
    copied = _OPCODE if rejection.rcode == Rcode.NOTIMP else _OPCODE | _RD
    flags = _LENGTH.unpack_from(packet, 2)[0] & copied | _QR | rejection.rcode & 0xF
    edns = rejection.edns
    header = _HEADER_TAIL.pack(
        *(flags, 1 if rejection.question_section else 0, 0, 0),
        (1 if edns else 0) + (1 if rejection.tsig else 0),
    )
    opt = b""
    if edns is not None:
        opt = opt_start(dnssec_ok=edns.dnssec_ok, rcode=rejection.rcode) + NO_OPTIONS
    return packet[:2] + header + rejection.question_section + opt + rejection.tsig
