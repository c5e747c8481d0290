"""What fuzzing begins with: valid octets, and those that have found something before."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.consul.faulty_consul import instance, key, node
from tests.wire.packets import opt, option, query_packet

FOUND = Path(__file__).parent / "found"
"""Findings of earlier runs, `<target>/<name>`."""

_RECORDINGS = Path(__file__).parents[1] / "kubernetes" / "recordings"
_DOCUMENTS = Path(__file__).parents[2] / "docs"


def seeds(target: str) -> Iterator[bytes]:
    """The seeds of a target."""
    yield from _MADE[target]()
    folder = FOUND / target
    if folder.is_dir():
        for file in sorted(folder.iterdir()):
            yield file.read_bytes()


def _queries() -> Iterator[bytes]:
    for type_ in (1, 2, 6, 12, 16, 28, 33, 41, 64, 65, 250, 252, 255, 65_535):
        yield query_packet(type_=type_)
        yield query_packet("many.service.consul", type_, edns=opt())
    for name in ("_web._tcp.service.consul", "n1.node.dc1.consul", "0a000001.addr.consul"):
        yield query_packet(name, edns=opt(options=option(10, b"12345678")))
    for name in ("1.0.0.10.in-addr.arpa", "web.default.svc.dc1.consul", "consul", "version.bind"):
        yield query_packet(name, 255, class_=255)
    for flags in (0x2800, 0x2000, 0x8000, 0x0200, 0xFFFF):
        yield query_packet(flags=flags)
    yield query_packet((b"a\0b", b"service", b"consul"))
    yield query_packet((b"x" * 63, b"y" * 63, b"z" * 63, b"w" * 40))


def _upstream() -> Iterator[bytes]:
    question = b"\3www\7example\3com\0\0\1\0\1"
    records = (
        b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1",
        b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x10",
        b"\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\4\3abc",
        b"\xc0\x0c\0\x21\0\1\0\0\0\x3c\0\x0b\0\1\0\1\0\x50\3a\1b\0",
    )
    for record in records:
        yield b"\x81\x80\0\1\0\1\0\0\0\0" + question + record
    soa = b"\xc0\x10\0\6\0\1\0\0\0\x3c\0\x18\1n\0\1h\0" + b"\0\0\0\1" * 5
    yield b"\x81\x83\0\1\0\0\0\1\0\0" + question + soa
    yield b"\x81\x82\0\0\0\0\0\0\0\0"


def _consul() -> Iterator[bytes]:
    for body in (
        [instance("web", "node-1", "10.0.0.1")],
        [node("node-1", "10.0.0.1")],
        {"web": ["v1"], "db": []},
        ["dc1", "dc2"],
        [key("0.70.254.10.IN-ADDR.ARPA/10.254.70.176", "web.service.consul")],
        [key("consuldns/k8s/east", json.dumps({"v": 1}))],
        [{"ID": "1", "Name": "nearest", "Template": {"Type": ""}}],
        {"Service": "web", "Nodes": [instance("web", "node-1", "10.0.0.1")], "DNS": {"TTL": "9s"}},
        None,
    ):
        yield json.dumps(body).encode()


def _kubernetes() -> Iterator[bytes]:
    for file in sorted(_RECORDINGS.glob("list-*.json")):
        for exchange in json.loads(file.read_text()):
            body = exchange["response"].get("body")
            items = body.get("items") if isinstance(body, dict) else None
            if items:
                yield json.dumps(items[:2]).encode()
    meta = {"name": "web", "namespace": "default", "uid": "u", "annotations": {"a": "b"}}
    spec = {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "name": "http"}], "type": "ClusterIP"}
    yield json.dumps([{"metadata": meta, "spec": spec}]).encode()
    yield json.dumps([{"metadata": meta, "endpoints": [{"addresses": ["10.0.0.1"]}]}]).encode()


def _zones() -> Iterator[bytes]:
    """Documents with many types, and a zone file with the directives."""
    yield b'ttl = 5\nA = ["10.0.0.1"]\nMX = "10 mail"\nTXT = { ttl = 6, records = ["a b"] }\n'
    yield b'{"service": "web", "tag": "v1", "CAA": "0 issue \\"ca.test\\"", "TYPE9": "\\\\# 1 00"}'
    yield b'HTTPS = "1 . alpn=h2 ipv4hint=10.0.0.1"\nLOC = "1 N 1 E 1m"'
    yield b'NAPTR = "1 1 \\"s\\" \\"x\\" \\"\\" a."'
    yield b"$ORIGIN a.\n$GENERATE 1-3 h$ A 10.0.0.$\nx 5 IN TXT \\065"
    yield b"$ORIGIN a.\n$TTL 1h\n@ SOA a b (1 2\n3 4 5)\n"


def _configuration() -> Iterator[bytes]:
    yield b'listen = ["127.0.0.1:8600"]\nworkers = 2\n[dns]\nnode_ttl = "3s"\n'
    yield b'[consul]\naddress = "http://127.0.0.1:8500"\n[sync]\ncluster = "east"\n'
    yield b'[dns.service_ttl]\n"web*" = "5s"\n[dns.forward]\n"a.b" = ["10.0.0.1:53"]\n'
    for page in sorted(_DOCUMENTS.glob("*.md")):
        for block in page.read_text().split("```toml\n")[1:]:
            yield block.partition("```")[0].encode()


_MADE = {
    "queries": _queries,
    "upstream": _upstream,
    "consul": _consul,
    "kubernetes": _kubernetes,
    "configuration": _configuration,
    "zones": _zones,
}
