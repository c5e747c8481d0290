"""What is asked: the question of a DNS message, and the numbers that the DNS gives types."""

from enum import IntEnum

import msgspec

from consuldns.names import Labels


class Type(IntEnum):
    """Types of records that this server knows by name (any other number is a type as well)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28
    SRV = 33
    NAPTR = 35
    OPT = 41
    DS = 43
    SSHFP = 44
    TLSA = 52
    SVCB = 64
    HTTPS = 65
    IXFR = 251
    AXFR = 252
    ANY = 255
    CAA = 257


class Class(IntEnum):
    """Classes of records."""

    IN = 1
    CH = 3
    ANY = 255


def type_number(text: str) -> int:
    """The number of a type: `SRV`, `any`, `TYPE65280`. ValueError if it has no name here."""
    name = text.upper()
    if name.startswith("TYPE") and name[4:].isdecimal() and int(name[4:]) < 1 << 16:
        return int(name[4:])
    try:
        return Type[name].value
    except KeyError:
        raise ValueError(f"not a type of records that is known here: {text!r}") from None


class Question(msgspec.Struct, frozen=True):
    """A question. `name` is folded; the spelling that was asked is kept by the wire layer.

    `type` and `class_` are the plain numbers of the message: unknown ones are legal (RFC 3597).
    """

    name: Labels
    type: int
    class_: int = Class.IN
