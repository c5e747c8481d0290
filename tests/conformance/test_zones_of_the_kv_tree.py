"""Zones of the KV tree answer as NSD does with the same zone file (RFC 1034, 2308, 4592, 6604)."""

import os
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest

from consuldns.names import parse_name
from consuldns.zone_documents import zone_file
from consuldns.zone_documents.comparison import differences
from tests.support.ask import ask, wait_for_answer
from tests.support.consul_agent import REPOSITORY, ConsulAgent
from tests.support.consuldns_process import Serve
from tests.support.nsd import nsd

GENERATED = int(os.environ.get("ZONES", "1"))  # zones; each is asked some 1,000 questions
TYPES = ("A", "AAAA", "CNAME", "TXT", "NS", "MX", "SRV", "DS", "SOA", "CAA")

# RFC 4592 section 2.2.1, with what sections 2.2.2 to 4.7 speak of.
RFC_4592 = """
@ NS ns.other.test.
*.wild A 10.0.0.1
*.wild TXT "from the wildcard"
host.wild A 10.0.0.2
sub.*.wild TXT "below an asterisk"
_ssh._tcp.host1 SRV 0 0 22 host.wild
subdel NS ns.subdel
subdel NS ns.other.test.
ns.subdel A 10.0.0.3
*.alias CNAME host.wild
*.away CNAME www.other.test.
*.nowhere CNAME missing
*.empty.below A 10.0.0.4
"""
RFC_1034 = """
@ NS ns1
@ NS ns.other.test.
@ MX 10 mail
@ TXT "the apex"
ns1 A 10.0.1.1
mail A 10.0.1.2
mail AAAA fd00::2
a CNAME b
b CNAME c
c A 10.0.1.3
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
gone CNAME missing
typeless CNAME mail
outside CNAME www.other.test.
cut NS ns.cut
cut NS mail
cut DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.cut A 10.0.1.4
deep.cut A 10.0.1.5
into-cut CNAME host.cut
ent.between.names A 10.0.1.6
*.between.names TXT "wild"
UPPER.Case A 10.0.1.7
target SRV 1 2 3 mail
weird\\.label A 10.0.1.8
weird\\032label A 10.0.1.9
"""


def generated(seed: int) -> str:
    """A zone of few labels, so that names, wildcards, delegations and aliases meet."""
    chance = random.Random(seed)
    lines = ["@ NS ns.other.test."]
    names: dict[str, str] = {}
    for _ in range(25):
        depth = chance.randint(1, 3)
        labels = [chance.choice("abcd") for _ in range(depth)]
        if chance.random() < 0.25:
            labels[0] = "*"
        names.setdefault(".".join(labels), chance.choice(("A", "A", "TXT", "CNAME", "NS", "MX")))
    for name, kind in names.items():
        target = chance.choice([*names, "missing", "a.missing"])
        if kind == "NS" and name.startswith("*"):
            kind = "A"
        data = {
            "A": f"10.9.{seed}.{chance.randint(1, 254)}",
            "TXT": f'"{name}"',
            "CNAME": target,
            "NS": target if "*" not in target else "ns.other.test.",
            "MX": f"10 {target}",
        }
        lines.append(f"{name} {kind} {data[kind]}")
    return "\n".join(lines) + "\n"


ZONES = {
    "rfc4592.test": RFC_4592,
    "rfc1034.test": RFC_1034,
    **{f"generated{seed}.test": generated(seed) for seed in range(GENERATED)},
}


@dataclass(frozen=True)
class Servers:
    ours: int
    nsd: int


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("zones")
    config = "[dns]\nsoa = { min_ttl = 7 }\n"
    with ConsulAgent() as consul, Serve(consul.url, workers=1, config=config) as serve:
        texts = {}
        for zone, text in ZONES.items():
            file = folder / zone
            file.write_text(f"$TTL 300\n{text}")
            import_zone(consul, zone, file)
            wait_for_answer(serve.port, zone, "NULL", "NOERROR")
            (soa,) = ask(serve.port, zone, "SOA").answer
            texts[zone] = f"$TTL 300\n{soa}\n$ORIGIN {zone}.\n{text}"
        with nsd(texts) as port:
            yield Servers(serve.port, port)


def import_zone(consul: ConsulAgent, zone: str, file: Path) -> None:
    program = [sys.executable, "-m", "consuldns", "zone", "import", zone, str(file)]
    subprocess.run([*program, "--consul-addr", consul.url], check=True, cwd=REPOSITORY)


def questions(zone: str) -> Iterator[str]:
    """The names of a zone, those above and below them, and others of the same labels."""
    owners = [line.split()[0] for line in ZONES[zone].splitlines() if line.strip()]
    names = {"", "missing", "a.missing", "*", "*.missing"}
    for owner in owners:
        labels = [] if owner == "@" else owner.split(".") if "\\" not in owner else [owner]
        for start in range(len(labels)):
            name = ".".join(labels[start:])
            names |= {name, f"x.{name}", f"*.{name}", f"y.x.{name}", name.replace("*", "star")}
            names.add(name.swapcase())
    yield from sorted(f"{name}.{zone}." if name else f"{zone}." for name in names)


def records(section: Iterable[dns.rrset.RRset]) -> set[str]:
    """The records, whatever the order and the case of owners."""
    return {
        f"{rrset.name.to_text().lower()} {rrset.ttl} {rrset.rdtype} {rdata}".lower()
        for rrset in section
        for rdata in rrset
    }


def seen(reply: dns.message.Message, zone: str) -> dict[str, object]:
    """What must be the same. NSD adds the zone's own NS records to positive answers."""
    own = f"{zone}. 300 2 "
    servers = {each.split()[-1] for each in records(reply.authority) if each.startswith(own)}
    return {
        "rcode": reply.rcode(),
        "AA": bool(reply.flags & dns.flags.AA),
        "answer": records(reply.answer),
        "additional": {
            each for each in records(reply.additional) if each.split()[0] not in servers
        },
        "authority": {each for each in records(reply.authority) if not each.startswith(own)},
    }


def test_the_difference_to_a_zone_file(servers: Servers) -> None:
    """Both serve each record but the one that a delegation hides."""
    apex = parse_name("rfc1034.test")
    text = f"$TTL 300\n{RFC_1034}".replace("mail A 10.0.1.2", "mail 301 A 10.0.1.9")
    names = zone_file.read(text, apex, "rfc1034").names
    for port in (servers.ours, servers.nsd):
        found = [each for each in differences(names, apex, ("127.0.0.1", port)) if each]
        changed, hidden = sorted(found, key=lambda each: len(each.surplus), reverse=True)
        assert changed.missing == ("mail.rfc1034.test.\t301\tIN\tA\t10.0.1.9",)
        assert changed.surplus == ("mail.rfc1034.test.\t300\tIN\tA\t10.0.1.2",)
        assert hidden.missing == ("deep.cut.rfc1034.test.\t300\tIN\tA\t10.0.1.5",)
        assert not hidden.surplus


@pytest.mark.parametrize("zone", ZONES)
def test_the_same_as_nsd(zone: str, servers: Servers) -> None:
    different = []
    for name in questions(zone):
        for type_ in TYPES:
            replies = (ask(port, name, type_) for port in (servers.ours, servers.nsd))
            ours, theirs = (seen(each, zone) for each in replies)
            if ours != theirs:
                different.append(f"{name} {type_}:\n  ours {ours}\n  NSD  {theirs}")
    assert not different, f"{len(different)}\n" + "\n".join(different[:10])
