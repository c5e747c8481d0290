"""Answers written by hand, as the resolver would give them."""

from consuldns.dns.answer import (
    Address,
    Answer,
    Outcome,
    Record,
    RecordGroup,
    ServiceTarget,
    StartOfAuthority,
    Text,
)
from consuldns.dns.question import Type
from consuldns.names import Labels, parse_name
from consuldns.views import keys
from consuldns.views.keys import ViewKey

WEB: Labels = (b"web", b"service", b"consul")
SERVICES = keys.ServiceList("dc1")
WEB_INSTANCES = keys.ServiceInstances("dc1", "web")
WEB_SOURCES: frozenset[ViewKey] = frozenset({SERVICES, WEB_INSTANCES})

SOA = Record(
    (b"consul",),
    Type.SOA,
    30,
    StartOfAuthority((b"ns", b"consul"), (b"hostmaster", b"consul"), 7, 3600, 600, 86400, 30),
)
NXDOMAIN = Answer(Outcome.NXDOMAIN, authority=(SOA,), dependencies=frozenset({SERVICES}))
NODATA = Answer(Outcome.NODATA, authority=(SOA,), dependencies=frozenset({SERVICES}))
REFUSED = Answer(Outcome.REFUSED, authoritative=False)


def packed(number: int) -> bytes:
    """The address 10.x.y.z with that number."""
    return (0x0A000000 + number).to_bytes(4)


def a_record(owner: Labels, number: int, ttl: int = 0) -> Record:
    return Record(owner, Type.A, ttl, Address(packed(number)))


def addresses(count: int, owner: Labels = WEB, *, shuffled: bool = True) -> Answer:
    """A records of that many instances."""
    groups = tuple(RecordGroup((a_record(owner, n),)) for n in range(1, count + 1))
    return Answer(Outcome.ANSWER, groups, dependencies=WEB_SOURCES, shuffled=shuffled)


def service(count: int, owner: Labels = WEB, *, text: int = 1, shuffled: bool = True) -> Answer:
    """SRV records of that many instances, each with the address and `text` TXT of its target."""
    groups = []
    for number in range(1, count + 1):
        target = parse_name(f"node-{number}.node.dc1.consul")
        groups.append(
            RecordGroup(
                (Record(owner, Type.SRV, 0, ServiceTarget(1, 1, 8000 + number, target)),),
                (a_record(target, number),),
                tuple(Record(target, Type.TXT, 0, Text((b"n=%d" % n,))) for n in range(text)),
            )
        )
    return Answer(Outcome.ANSWER, tuple(groups), dependencies=WEB_SOURCES, shuffled=shuffled)
