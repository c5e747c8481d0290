"""What the labels left of the domain can mean."""

import pytest

from consuldns.dns.grammar.kubernetes import Form, RecordRequest, of_kubernetes
from consuldns.dns.grammar.locality import NO_TENANCY
from consuldns.dns.grammar.meanings import (
    AddressKey,
    AddressName,
    AddressOfKubernetes,
    AddressOfNode,
    AddressOfService,
    Apex,
    ConnectName,
    DatacenterNonTerminal,
    DottedServiceName,
    DottedTagNonTerminal,
    IngressName,
    Interpretation,
    KubernetesName,
    LocalityNonTerminal,
    NameServer,
    NetworkNonTerminal,
    NodeName,
    PartitionNodeName,
    PeerNodeName,
    PortName,
    QueryName,
    ServiceName,
    SeveralTags,
    TagNonTerminal,
    Tenancy,
    TenantServiceName,
    VirtualName,
)
from consuldns.dns.grammar.parse import interpretations, nested, of_consul, of_reverse
from consuldns.names import parse_name

LOOPBACK = bytes((127, 0, 0, 1))
KINDS_OF_ADDRESSES = (AddressKey, AddressOfKubernetes, AddressOfNode, AddressOfService)
ADDRESS = [kind(LOOPBACK) for kind in KINDS_OF_ADDRESSES]

TABLE: list[tuple[str, list[Interpretation]]] = [
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
    ("web.connect", [ConnectName(b"web", None)]),
    ("x.y.web.connect.dc1", [ConnectName(b"web", b"dc1")]),
    ("web.ingress", [IngressName(b"web", None)]),
    ("x.web.ingress.dc1", [IngressName(b"web", b"dc1")]),
    ("db.query", [QueryName(b"db", None)]),
    ("a.b.query.dc1", [QueryName(b"a.b", b"dc1")]),
    ("_db._tcp.query", [QueryName(b"db", None)]),
    ("_tcp.query.dc1", [DatacenterNonTerminal(b"dc1")]),
    ("_a._b._c.query", [QueryName(b"_a._b._c", None)]),
    ("web.virtual", [VirtualName(b"web", None, NO_TENANCY)]),
    ("web.virtual.west", [VirtualName(b"web", None, Tenancy(b"west"))]),
    ("web.virtual.west.peer", [VirtualName(b"web", None, Tenancy(b"west"))]),
    ("web.virtual.dc1.dc", [VirtualName(b"web", b"dc1", NO_TENANCY)]),
    ("web.service.dc1.dc", [ServiceName(b"web", None, b"dc1")]),
    (
        "_web._tcp.dc1.dc",
        [ServiceName(b"web", None, b"dc1", True), DottedTagNonTerminal(b"_tcp", b"_web", b"dc1")],
    ),
    ("web.node.dc1.dc", [NodeName(b"web", b"dc1")]),
    ("web.connect.dc1.dc", [ConnectName(b"web", b"dc1")]),
    ("q.query.dc1.dc", [QueryName(b"q", b"dc1")]),
    ("service.dc1.dc", [DatacenterNonTerminal(b"dc1")]),
    ("dc", [DatacenterNonTerminal(b"dc"), LocalityNonTerminal(b"", b"dc")]),
    ("dc1.dc", [LocalityNonTerminal(b"dc1", b"dc")]),
    ("west.peer", [LocalityNonTerminal(b"west", b"peer")]),
    ("service.west.peer", [LocalityNonTerminal(b"west", b"peer")]),
    ("v1.web.service.west.peer", [TenantServiceName(b"web", b"v1", None, Tenancy(b"west"))]),
    ("web.service.team.ns", [TenantServiceName(b"web", None, None, Tenancy(b"", b"team"))]),
    (
        "web.service.team.ns.east.ap.dc2.dc",
        [TenantServiceName(b"web", None, b"dc2", Tenancy(b"", b"team", b"east"))],
    ),
    ("web.service.g.sg", [TenantServiceName(b"web", None, None, Tenancy(group=b"g"))]),
    ("n.m.node.west.peer", [PeerNodeName(b"n.m", b"west")]),
    ("n.m.node.east.ap.dc1.dc", [PartitionNodeName(b"n.m", b"dc1", b"east")]),
    ("n.node.east.ap", [PartitionNodeName(b"n", None, b"east")]),
    ("n.node.team.ns.east.ap", []),
    ("web.service.http.port.dc1.dc", [PortName(b"http", b"web", b"dc1")]),
    ("web.service.dc1.dc.west.peer", []),
    ("web.service.east.ap.team.ns", []),
    ("web.service.a.ns.b.ns", []),
    ("web.service.west.peer.x", []),
    ("web.connect.west.peer", []),
    ("n.node.team.ns", []),
    ("v1.web.service.http.port", []),
]


@pytest.mark.parametrize(
    ("name", "expected"), [pytest.param(n, e, id=n or "apex") for n, e in TABLE]
)
def test_interpretations(name: str, expected: list[Interpretation]) -> None:
    found = interpretations(parse_name(name))
    assert found[: len(expected)] == expected
    labels = parse_name(name)
    if labels and not any(b"." in label for label in labels):
        assert of_consul(labels) == expected


DB = RecordRequest(Form.SERVICE, b"default", b"db")
POD = RecordRequest(Form.POD, b"default", pod=b"10-1-2-3")
A_OF_B_IN_C = RecordRequest(Form.ENDPOINT, b"c", b"b", endpoint=b"a", left=(b"a",))

NESTED: list[tuple[str, list[Interpretation]]] = [
    ("svc", []),
    ("svc.dc1", [KubernetesName(RecordRequest(Form.KIND, left=(b"svc",)), b"dc1")]),
    ("db.default.svc.dc1", [KubernetesName(DB, b"dc1")]),
    ("10-1-2-3.default.pod.dc1", [KubernetesName(POD, b"dc1")]),
    (
        "dns-version.dc1",
        [KubernetesName(RecordRequest(Form.VERSION, left=(b"dns-version",)), b"dc1")],
    ),
    ("db.default.svc", []),
    ("db.default.svc.dc1.extra", []),
    (
        "default.service",
        [
            KubernetesName(RecordRequest(Form.NAMESPACE, b"default"), None),
            DottedServiceName((b"default",), None),
        ],
    ),
    (
        "db.default.service.dc1",
        [
            KubernetesName(DB, b"dc1"),
            DottedServiceName((b"db", b"default"), b"dc1"),
        ],
    ),
    (
        "a.b.c.service",
        [
            KubernetesName(A_OF_B_IN_C, None),
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
def test_nested_interpretations(name: str, expected: list[Interpretation]) -> None:
    assert nested(parse_name(name)) == expected
    assert interpretations(parse_name(name))[-len(expected) :] == (
        expected or interpretations(parse_name(name))
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", RecordRequest(Form.ZONE)),
        ("svc", RecordRequest(Form.KIND, left=(b"svc",))),
        ("pod", RecordRequest(Form.KIND, left=(b"pod",))),
        ("dns", RecordRequest(Form.KIND, left=(b"dns",))),
        ("dns-version", RecordRequest(Form.VERSION, left=(b"dns-version",))),
        ("ns.dns", RecordRequest(Form.NAME_SERVER, left=(b"ns", b"dns"))),
        ("x.dns", RecordRequest(Form.OTHER, left=(b"x", b"dns"))),
        ("x.dns-version", RecordRequest(Form.OTHER, left=(b"x", b"dns-version"))),
        ("x", RecordRequest(Form.OTHER, left=(b"x",))),
        ("a.b.x", RecordRequest(Form.OTHER, left=(b"a", b"b", b"x"))),
        ("ns.svc", RecordRequest(Form.NAMESPACE, b"ns")),
        ("db.ns.svc", RecordRequest(Form.SERVICE, b"ns", b"db")),
        ("e.db.ns.svc", RecordRequest(Form.ENDPOINT, b"ns", b"db", endpoint=b"e", left=(b"e",))),
        (
            "_tcp.db.ns.svc",
            RecordRequest(Form.PROTOCOL, b"ns", b"db", protocol=b"tcp", left=(b"_tcp",)),
        ),
        (
            "_p._tcp.db.ns.svc",
            RecordRequest(
                Form.PORT, b"ns", b"db", port=b"p", protocol=b"tcp", left=(b"_p", b"_tcp")
            ),
        ),
        ("p._tcp.db.ns.svc", RecordRequest(Form.BELOW_SERVICE, b"ns", b"db", left=(b"p", b"_tcp"))),
        ("_p.tcp.db.ns.svc", RecordRequest(Form.BELOW_SERVICE, b"ns", b"db", left=(b"_p", b"tcp"))),
        (
            "_a._b._c.db.ns.svc",
            RecordRequest(Form.BELOW_SERVICE, b"ns", b"db", left=(b"_a", b"_b", b"_c")),
        ),
        ("_.db.ns.svc", RecordRequest(Form.PROTOCOL, b"ns", b"db", left=(b"_",))),
        ("ns.pod", RecordRequest(Form.POD_NAMESPACE, b"ns")),
        ("10-0-0-1.ns.pod", RecordRequest(Form.POD, b"ns", pod=b"10-0-0-1")),
        ("x.1.ns.pod", RecordRequest(Form.BELOW_POD, b"ns", pod=b"1", left=(b"x",))),
    ],
)
def test_kubernetes_names(path: str, expected: RecordRequest) -> None:
    assert of_kubernetes(parse_name(path)) == expected


LOOPBACK_6 = bytes(15) + b"\1"


@pytest.mark.parametrize(
    ("name", "is_apex", "expected"),
    [
        ("1.0.0.127.in-addr.arpa", False, [*ADDRESS]),
        ("1.0.0.127.in-addr.arpa", True, [*ADDRESS, Apex()]),
        ("0.127.in-addr.arpa", False, [NetworkNonTerminal((4, "7f00"))]),
        ("0.127.in-addr.arpa", True, [Apex()]),
        ("x.127.in-addr.arpa", False, []),
        ("5.1.0.0.127.in-addr.arpa", False, []),
        ("d.f.ip6.arpa", False, [NetworkNonTerminal((16, "fd"))]),
        (
            "1." + "0." * 31 + "ip6.arpa",
            False,
            [kind(LOOPBACK_6) for kind in KINDS_OF_ADDRESSES],
        ),
    ],
)
def test_reverse_names(name: str, is_apex: bool, expected: list[Interpretation]) -> None:
    assert of_reverse(parse_name(name), is_apex=is_apex) == expected
