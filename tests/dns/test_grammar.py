"""What the labels left of the domain can mean."""

import pytest

from consuldns.dns.grammar import (
    AddressName,
    Apex,
    DatacenterNonTerminal,
    DottedServiceName,
    DottedTagNonTerminal,
    KubernetesName,
    Lookup,
    NameServer,
    NodeName,
    ServiceName,
    SeveralTags,
    TagNonTerminal,
    nested,
    of_consul,
    readings,
)
from consuldns.names import parse_name

LOOPBACK = bytes((127, 0, 0, 1))

TABLE: list[tuple[str, list[Lookup]]] = [
    ("", [Apex()]),
    ("ns", [NameServer(), DatacenterNonTerminal(b"ns")]),
    ("dc1", [DatacenterNonTerminal(b"dc1")]),
    ("a.dc1", []),
    ("service", [DatacenterNonTerminal(None)]),
    ("query.dc1", [DatacenterNonTerminal(b"dc1")]),
    ("service.dc1.extra", []),
    ("db.service", [ServiceName(b"db", None, None)]),
    ("db.service.dc1", [ServiceName(b"db", None, b"dc1")]),
    ("db.service.dc1.extra", []),
    (
        "primary.db.service",
        [ServiceName(b"db", b"primary", None), DottedTagNonTerminal(b"db", b"primary", None)],
    ),
    (
        "v1.2.db.service.dc1",
        [ServiceName(b"db", b"v1.2", b"dc1"), DottedTagNonTerminal(b"db", b"v1.2", b"dc1")],
    ),
    (
        "_db._tcp.service",
        [ServiceName(b"db", None, None), DottedTagNonTerminal(b"_tcp", b"_db", None)],
    ),
    (
        "_db._primary.service",
        [ServiceName(b"db", b"primary", None), DottedTagNonTerminal(b"_primary", b"_db", None)],
    ),
    ("_db._.service", [ServiceName(b"db", None, None), DottedTagNonTerminal(b"_", b"_db", None)]),
    ("_tcp.service", [ServiceName(b"_tcp", None, None), TagNonTerminal(b"tcp", None)]),
    (
        "x._db._tcp.service",
        [ServiceName(b"_tcp", b"x._db", None), DottedTagNonTerminal(b"_tcp", b"x._db", None)],
    ),
    (
        "_db._tcp.dc1",
        [
            ServiceName(b"db", None, b"dc1", srv_only=True),
            DottedTagNonTerminal(b"_tcp", b"_db", b"dc1"),
        ],
    ),
    (
        "_tcp",
        [
            ServiceName(b"_tcp", None, None, srv_only=True),
            TagNonTerminal(b"tcp", None),
            DatacenterNonTerminal(b"_tcp"),
        ],
    ),
    ("_db._tcp.dc1.extra", []),
    # The rightmost keyword counts.
    (
        "db.service.service",
        [ServiceName(b"service", b"db", None), DottedTagNonTerminal(b"service", b"db", None)],
    ),
    ("service.node", [NodeName(b"service", None)]),
    # A datacenter may begin with an underscore; for SRV it is a service.
    (
        "db.service._x",
        [
            ServiceName(b"_x", b"db.service", None, srv_only=True),
            DottedTagNonTerminal(b"_x", b"db.service", None),
            ServiceName(b"db", None, b"_x"),
        ],
    ),
    ("foo.node", [NodeName(b"foo", None)]),
    ("foo.dotted.node.dc1", [NodeName(b"foo.dotted", b"dc1")]),
    (r"foo\.dotted.node", []),
    (r"db.service.d\.c", []),
    ("7f000001.addr", [AddressName(LOOPBACK)]),
    ("7f000001.addr.what.ever", [AddressName(LOOPBACK)]),
    ("x.7f000001.addr", []),
    ("7f0000.addr", []),
    ("7f00000g.addr", []),
    ("addr.dc1", [DatacenterNonTerminal(b"dc1")]),
    ("web.connect", []),
    ("web.virtual", []),
]


@pytest.mark.parametrize(
    ("name", "expected"), [pytest.param(n, e, id=n or "apex") for n, e in TABLE]
)
def test_readings(name: str, expected: list[Lookup]) -> None:
    found = readings(parse_name(name))
    assert found[: len(expected)] == expected
    labels = parse_name(name)
    if labels and not any(b"." in label for label in labels):
        assert of_consul(labels) == expected


NESTED: list[tuple[str, list[Lookup]]] = [
    ("svc", []),
    ("svc.dc1", [KubernetesName((b"svc",), b"dc1")]),
    ("db.default.svc.dc1", [KubernetesName((b"db", b"default", b"svc"), b"dc1")]),
    ("10-1-2-3.default.pod.dc1", [KubernetesName((b"10-1-2-3", b"default", b"pod"), b"dc1")]),
    ("dns-version.dc1", [KubernetesName((b"dns-version",), b"dc1")]),
    ("db.default.svc", []),
    ("db.default.svc.dc1.extra", []),
    (
        "default.service",
        [KubernetesName((b"default", b"svc"), None), DottedServiceName((b"default",), None)],
    ),
    (
        "db.default.service.dc1",
        [
            KubernetesName((b"db", b"default", b"svc"), b"dc1"),
            DottedServiceName((b"db", b"default"), b"dc1"),
        ],
    ),
    (
        "a.b.c.service",
        [
            KubernetesName((b"a", b"b", b"c", b"svc"), None),
            DottedServiceName((b"a", b"b", b"c"), None),
            SeveralTags(b"c", (b"a", b"b"), None),
        ],
    ),
    # The keyword that Consul goes by is the rightmost one.
    ("db.default.service.node", []),
    ("db.default.service.dc1.extra", []),
    ("service", []),
    ("foo.node", []),
]


@pytest.mark.parametrize(("name", "expected"), NESTED)
def test_nested_readings(name: str, expected: list[Lookup]) -> None:
    assert nested(parse_name(name)) == expected
    assert readings(parse_name(name))[-len(expected) :] == (expected or readings(parse_name(name)))
