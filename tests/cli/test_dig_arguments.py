"""The words of a query, as people who know dig write them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consuldns.cli.dig_arguments import Transport, read_words
from consuldns.names import format_name
from consuldns.sockets import HostPort
from tests.cli.test_query import answering, zone

A, NS, PTR, SRV, AAAA, ANY = 1, 2, 12, 33, 28, 255


@pytest.mark.parametrize(
    ("words", "name", "type_"),
    [
        ("web.consul", "web.consul.", A),
        ("web.consul SRV", "web.consul.", SRV),
        ("srv web.consul", "web.consul.", SRV),
        ("web.consul @127.0.0.1 any", "web.consul.", ANY),
        ("@127.0.0.1 aaaa web.consul +short", "web.consul.", AAAA),
        ("a", "a.", A),
        ("ns ns", "ns.", NS),
        ("ns.consul NS", "ns.consul.", NS),
        ("web.consul TYPE65", "web.consul.", 65),
        ("10.0.0.1", "1.0.0.10.in-addr.arpa.", PTR),
        ("10.0.0.1 A", "10.0.0.1.", A),
        ("", ".", NS),
        ("@127.0.0.1", ".", NS),
    ],
)
def test_names_and_types(words: str, name: str, type_: int) -> None:
    found = read_words(words.split(), None, is_reverse=False)
    assert (format_name(found.name), found.type) == (name, type_)


@pytest.mark.parametrize(
    ("word", "server"),
    [
        ("@127.0.0.1", HostPort("127.0.0.1", 0)),
        ("@127.0.0.1:8600", HostPort("127.0.0.1", 8600)),
        ("@::1", HostPort("::1", 0)),
        ("@[::1]:8600", HostPort("::1", 8600)),
        ("@localhost:8600", HostPort("127.0.0.1", 8600)),
    ],
)
def test_servers(word: str, server: HostPort) -> None:
    found = read_words(["web.consul", word], None, is_reverse=False).server
    assert found is not None
    assert found.port == server.port
    assert found.host in (server.host, "::1")


@pytest.mark.parametrize(
    ("words", "is_short", "transport"),
    [
        ("web", False, Transport.UDP_THEN_TCP),
        ("web +short", True, Transport.UDP_THEN_TCP),
        ("+tcp web +short +nocomments", True, Transport.TCP),
        ("+vc web", False, Transport.TCP),
        ("+tcp web +notcp", False, Transport.UDP_THEN_TCP),
        ("web +ignore", False, Transport.UDP),
    ],
)
def test_switches(words: str, is_short: bool, transport: Transport) -> None:
    found = read_words(words.split(), None, is_reverse=False)
    assert (found.is_short, found.transport) == (is_short, transport)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("web.consul AAA", "not a type of records: 'AAA'"),
        ("web.consul SRV db.consul", "one name only, not 'web.consul' and 'db.consul'"),
        ("web.consul +trace", "not a switch that is known here: +trace"),
        ("web.consul @127.0.0.1:x", "not a server: '127.0.0.1:x'"),
        ("web.consul @no-such-host.invalid", "no address for the server 'no-such-host.invalid'"),
    ],
)
def test_mistakes(words: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("+", r"\+")):
        read_words(words.split(), None, is_reverse=False)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "consuldns", "query", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_words_port_and_json() -> None:
    with answering(zone("web.consul. 5 IN A 10.0.0.7")) as (host, port):
        short = run("+short", f"@{host}", "-p", str(port), "web.consul", "-t", "A")
        assert short.stdout == "10.0.0.7\n"
        tcp = run("web.consul", f"@{host}:{port}", "+tcp")
        assert f";; SERVER: {host}:{port} (tcp)" in tcp.stdout
        shown = json.loads(run("--json", "web.consul", f"@{host}:{port}").stdout)
    assert shown["rcode"] == "NOERROR"
    assert shown["answer"] == [
        {"owner": "web.consul.", "ttl": 5, "class": "IN", "type": "A", "data": "10.0.0.7"}
    ]


def test_the_server_that_is_configured_here_is_asked(tmp_path: Path) -> None:
    with answering(zone("web.consul. 5 IN A 10.0.0.7")) as (host, port):
        file = tmp_path / "consuldns.toml"
        file.write_text(f'listen = ["0.0.0.0:{port}"]\n')
        assert run("+short", "web.consul", "--config", str(file)).stdout == "10.0.0.7\n"
        assert run("+short", "web.consul", CONSULDNS_LISTEN=f"{host}:{port}").stdout == "10.0.0.7\n"
