"""Records in Consul's KV tree: written, changed, removed, spoiled; and aliases to services."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import pytest

from tests.end_to_end.conftest import deregister, register
from tests.support.ask import answers, ask, rcode, wait_for_answer
from tests.support.consul_agent import REPOSITORY, ConsulAgent, free_ports, wait_until
from tests.support.consuldns_process import Serve

ROOT = "/v1/kv/consuldns/zones"


@pytest.fixture
def zone(consul: ConsulAgent, request: pytest.FixtureRequest) -> Iterator[str]:
    """A zone of the test's own, with an address at `here`."""
    name = f"{request.node.name.split('[')[0].replace('_', '-')[-40:].strip('-')}.test"
    consul.put(f"{ROOT}/{name}/here", 'A = "10.0.0.1"')
    yield name
    consul.client.delete(f"{ROOT}/{name}/?recurse")


def test_a_record_comes_changes_and_goes(consul: ConsulAgent, serve: Serve, zone: str) -> None:
    wait_for_answer(serve.port, f"here.{zone}", "A", "10.0.0.1")
    wait_for_answer(serve.port, f"there.{zone}", "A", "NXDOMAIN")
    consul.put(f"{ROOT}/{zone}/there", '{"ttl": 7, "A": ["10.0.0.2"]}')
    wait_for_answer(serve.port, f"there.{zone}", "A", "10.0.0.2")
    assert ask(serve.port, f"there.{zone}").answer[0].ttl == 7
    consul.put(f"{ROOT}/{zone}/there", 'A = "10.0.0.3"')
    wait_for_answer(serve.port, f"there.{zone}", "A", "10.0.0.3")
    consul.client.delete(f"{ROOT}/{zone}/there")
    wait_for_answer(serve.port, f"there.{zone}", "A", "NXDOMAIN")
    assert answers(ask(serve.port, f"here.{zone}")) == {"10.0.0.1"}


def test_a_zone_comes_and_goes(consul: ConsulAgent, serve: Serve, zone: str) -> None:
    wait_for_answer(serve.port, f"www.{zone}x", "A", "REFUSED")
    consul.put(f"{ROOT}/{zone}x/www", 'A = "10.0.0.1"')
    wait_for_answer(serve.port, f"www.{zone}x", "A", "10.0.0.1")
    consul.client.delete(f"{ROOT}/{zone}x/www")
    wait_for_answer(serve.port, f"www.{zone}x", "A", "REFUSED")


def test_a_bad_document_is_named_and_the_last_good_one_stays(
    consul: ConsulAgent, serve: Serve, zone: str
) -> None:
    wait_for_answer(serve.port, f"here.{zone}", "A", "10.0.0.1")
    consul.put(f"{ROOT}/{zone}/here", '# new\nA = [\n  "10.0.0.2",\n  "10.0.0.300",\n]\n')
    consul.put(f"{ROOT}/{zone}/next", 'A = "10.0.0.4"')
    wait_for_answer(serve.port, f"next.{zone}", "A", "10.0.0.4")
    assert answers(ask(serve.port, f"here.{zone}")) == {"10.0.0.1"}
    path = f"consuldns/zones/{zone}/here"
    serve.wait_for_line(f"'{path}': line 4: A: '10.0.0.300' is not valid A data")
    (named,) = [line for line in serve.admin("/metrics").text.splitlines() if path in line]
    assert 'reason="line 4: A: ' in named
    checked = run_zone(consul, "check", zone)
    assert checked.returncode == 1
    assert f"{path}': line 4: " in checked.stdout
    assert "problems: 1" in checked.stdout
    consul.put(f"{ROOT}/{zone}/here", 'A = "10.0.0.2"')
    wait_for_answer(serve.port, f"here.{zone}", "A", "10.0.0.2")
    assert run_zone(consul, "check", zone).returncode == 0
    wait_until(lambda: path not in serve.admin("/metrics").text, "the metric without it")


def test_an_alias_has_the_instances_of_a_service(
    consul: ConsulAgent, serve: Serve, zone: str
) -> None:
    for name in ("www", "@"):
        consul.put(f"{ROOT}/{zone}/{name}", 'service = "shop"\nMX = "10 here"')
    wait_for_answer(serve.port, f"www.{zone}", "A", "NOERROR")
    assert ask(serve.port, f"www.{zone}").answer == [], "no such service: nothing, but it exists"
    register(consul, "shop", "10.7.0.1")
    wait_for_answer(serve.port, f"www.{zone}", "A", "10.7.0.1")
    wait_for_answer(serve.port, zone, "A", "10.7.0.1")
    assert answers(ask(serve.port, f"www.{zone}", "MX")) == {f"10 here.{zone}."}
    (srv,) = ask(serve.port, f"www.{zone}", "SRV").answer
    assert srv.name.to_text() == f"www.{zone}."
    register(consul, "shop", "10.7.0.2")
    wait_for_answer(serve.port, zone, "A", "10.7.0.2")
    register(consul, "shop", "10.7.0.2", status="critical")
    wait_until(lambda: not ask(serve.port, f"www.{zone}").answer, "no instance")
    deregister(consul, "shop")
    assert rcode(ask(serve.port, f"www.{zone}")) == "NOERROR"


def test_an_alias_at_the_apex_has_no_cname(consul: ConsulAgent, serve: Serve, zone: str) -> None:
    register(consul, "elsewhere", f"here.{zone}")
    consul.put(f"{ROOT}/{zone}/@", 'service = "elsewhere"\nttl = 9')
    consul.put(f"{ROOT}/{zone}/www", 'service = "elsewhere"')
    wait_for_answer(serve.port, zone, "A", "10.0.0.1")
    (records,) = ask(serve.port, zone).answer
    assert records.to_text() == f"{zone}. 9 IN A 10.0.0.1"
    wait_until(lambda: len(ask(serve.port, f"www.{zone}").answer) == 2, "CNAME and its target")
    deregister(consul, "elsewhere")


def test_in_consuls_domain_consuls_names_go_first(consul: ConsulAgent, serve: Serve) -> None:
    register(consul, "web", "10.8.0.1")
    for name in ("web", "web.service", "@"):
        consul.put(f"{ROOT}/consul/{name}", 'A = "10.8.0.9"\nTXT = "own"')
    wait_for_answer(serve.port, "web.consul", "A", "10.8.0.9")
    wait_for_answer(serve.port, "web.service.consul", "A", "10.8.0.1")
    wait_for_answer(serve.port, "consul", "A", "10.8.0.9")
    assert answers(ask(serve.port, "web.consul", "TXT")) == {'"own"'}
    for name in ("x.consul", "x.service.consul", "x.web.consul", "x.y.consul", "x.node.consul"):
        assert rcode(ask(serve.port, name)) == "NXDOMAIN"
    for name in ("web.consul", "web.service.consul", "web.service.dc1.consul"):
        assert answers(ask(serve.port, name)), "no denial of another name covers it"
    assert "SOA" in str(ask(serve.port, "consul", "SOA").answer[0])
    consul.client.delete(f"{ROOT}/consul/?recurse")
    wait_for_answer(serve.port, "web.consul", "A", "NXDOMAIN")
    deregister(consul, "web")


def test_a_reverse_zone(consul: ConsulAgent, serve: Serve) -> None:
    register(consul, "known", "10.9.9.1")
    for name in ("2.9", "1.9"):
        consul.put(f"{ROOT}/9.10.in-addr.arpa/{name}", 'PTR = "host.example.test."')
    wait_for_answer(serve.port, "2.9.9.10.in-addr.arpa", "PTR", "host.example.test.")
    wait_for_answer(serve.port, "1.9.9.10.in-addr.arpa", "PTR", "known.service.dc1.consul.")
    assert rcode(ask(serve.port, "3.9.9.10.in-addr.arpa", "PTR")) == "NXDOMAIN"
    assert rcode(ask(serve.port, "9.9.10.in-addr.arpa", "PTR")) == "NOERROR"
    assert answers(ask(serve.port, "2.9.9.10.in-addr.arpa", "PTR")) == {"host.example.test."}
    consul.client.delete(f"{ROOT}/9.10.in-addr.arpa/?recurse")
    deregister(consul, "known")


def test_a_delegation_is_a_referral(consul: ConsulAgent, serve: Serve, zone: str) -> None:
    consul.put(f"{ROOT}/{zone}/sub", 'NS = "ns.sub.' + zone + '."')
    consul.put(f"{ROOT}/{zone}/ns.sub", 'A = "10.0.0.53"')
    wait_until(lambda: bool(ask(serve.port, f"a.sub.{zone}").authority), "the referral")
    reply = ask(serve.port, f"a.sub.{zone}")
    assert (rcode(reply), reply.answer) == ("NOERROR", [])
    assert not reply.flags & dns.flags.AA
    assert [str(each) for each in reply.additional] == [f"ns.sub.{zone}. 60 IN A 10.0.0.53"]


def test_what_is_known_is_answered_while_consul_is_away() -> None:
    with ConsulAgent() as consul, Serve(consul.url) as serve:
        consul.put(f"{ROOT}/away.test/www", 'A = "10.0.0.1"')
        wait_for_answer(serve.port, "www.away.test", "A", "10.0.0.1")
        consul.kill()
        wait_until(lambda: bool(ask(serve.port, "www.away.test").options), "marked stale")
        assert answers(ask(serve.port, "www.away.test")) == {"10.0.0.1"}
        assert rcode(ask(serve.port, "nope.away.test")) == "NXDOMAIN"


def run_zone(consul: ConsulAgent, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`consuldns zone`, with what it prints."""
    command = [sys.executable, "-m", "consuldns", "zone", *arguments, "--consul-addr", consul.url]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


ZONE_FILE = """\
$ORIGIN imported.test.
$TTL 1h
@ IN SOA ns1 hostmaster 1 7200 3600 86400 60
@ NS ns1
ns1 A 10.0.0.53
www 300 A 10.0.0.1
www 300 TXT "with \\"quotes\\"" "and two strings"
$GENERATE 1-3 host-$ A 10.0.1.$
elsewhere.test. A 10.0.0.9
"""


def test_import_and_list(consul: ConsulAgent, serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "imported.zone"
    file.write_text(ZONE_FILE)

    def imported(*options: str) -> str:
        done = run_zone(consul, "import", "imported.test", str(file), *options)
        assert done.returncode == 0, done.stderr
        assert "elsewhere.test. A: it is not in the zone" in done.stderr
        return done.stdout.splitlines()[-1]

    assert imported("--dry-run") == "names would be written: 6, removed: 0"
    assert run_zone(consul, "list", "imported.test").returncode == 1, "nothing was written"
    assert imported() == "names written: 6, removed: 0"
    assert imported() == "names written: 0, removed: 0"
    wait_for_answer(serve.port, "host-2.imported.test", "A", "10.0.1.2")
    listed = run_zone(consul, "list", "imported.test").stdout
    assert 'www\t300\tIN\tTXT\t"with \\"quotes\\"" "and two strings"' in listed.splitlines()
    assert "imported.test\t6" in run_zone(consul, "list").stdout.splitlines()
    file.write_text(ZONE_FILE.replace("1-3", "2-4"))
    assert imported() == "names written: 1, removed: 0"
    assert imported("--delete") == "names written: 0, removed: 1"
    wait_for_answer(serve.port, "host-1.imported.test", "A", "NXDOMAIN")
    file.write_text(listed)
    again = run_zone(consul, "import", "imported.test", str(file))
    assert again.stdout == "names written: 1, removed: 0\n", "what is listed can be imported"


def server_option(serve: Serve) -> tuple[str, str]:
    return "--server", f"127.0.0.1:{serve.port}"


def test_diff_with_consul(consul: ConsulAgent, serve: Serve) -> None:
    """A service with a dot in its name, which Consul denies, is the kind that is shown."""
    register(consul, "plain", "10.6.0.1")
    register(consul, "a.b", "10.6.0.2")
    wait_for_answer(serve.port, "plain.service.consul", "A", "10.6.0.1")
    wait_for_answer(serve.port, "a.b.service.consul", "A", "10.6.0.2")
    other = f"127.0.0.1:{consul.dns_port}"
    done = run_zone(consul, "diff", "consul", other, *server_option(serve))
    assert done.returncode == 1, done.stderr
    shown = done.stdout.splitlines()
    assert "-a.b.service.consul.\tA\t; NXDOMAIN" in shown
    assert "+a.b.service.consul.\t0\tIN\tA\t10.6.0.2" in shown
    assert not [line for line in shown if "plain" in line]
    deregister(consul, "plain")
    deregister(consul, "a.b")


def test_diff(consul: ConsulAgent, serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "moved.zone"
    file.write_text("$TTL 60\nwww A 10.0.0.1\nwww A 10.0.0.2\n*.apps TXT hello\n")
    assert run_zone(consul, "import", "moved.test", str(file)).returncode == 0
    wait_for_answer(serve.port, "any.apps.moved.test", "TXT", '"hello"')

    def diff(port: int) -> subprocess.CompletedProcess[str]:
        words = ["zone", "diff", "moved.test", str(file), "--server", f"127.0.0.1:{port}"]
        command = [sys.executable, "-m", "consuldns", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)

    same = diff(serve.port)
    assert (same.returncode, same.stdout) == (0, "record sets: 2, different: 0\n")
    file.write_text("$TTL 60\nwww A 10.0.0.1\nwww A 10.0.0.3\nnew A 10.0.0.4\n*.apps TXT hello\n")
    other = diff(serve.port)
    assert other.returncode == 1
    assert other.stdout.splitlines() == [
        "-new.moved.test.\t60\tIN\tA\t10.0.0.4\t; NXDOMAIN",
        "-www.moved.test.\t60\tIN\tA\t10.0.0.3",
        "+www.moved.test.\t60\tIN\tA\t10.0.0.2",
        "record sets: 3, different: 2",
    ]
    with Serve(consul.url, workers=1) as second:
        wait_for_answer(second.port, "any.apps.moved.test", "TXT", '"hello"')
        between = run_zone(
            consul, *("diff", "moved.test", f"127.0.0.1:{second.port}"), *server_option(serve)
        )
        assert (between.returncode, between.stdout) == (0, "record sets: 2, different: 0\n")
    of_consul = f"127.0.0.1:{consul.dns_port}"
    refused = run_zone(consul, "diff", "moved.test", of_consul, "--server", of_consul)
    assert refused.returncode == 1, "two servers that refuse do not agree"
    assert "-www.moved.test.\tA\t; REFUSED" in refused.stdout
    assert refused.stdout.endswith("record sets: 2, different: 2\n")
    silent = diff(free_ports(1)[0])
    assert silent.returncode == 9
    assert "Error: no usable reply from 127.0.0.1 port " in silent.stderr
    assert "Connection refused" in silent.stderr


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("/", "/ cannot be read: Is a directory"),
        ("missing.zone", "'missing.zone' is not a file; as a server's address: "),
    ],
)
def test_what_cannot_be_compared(other: str, said: str, consul: ConsulAgent) -> None:
    done = run_zone(consul, "diff", "example.test", other)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (["list", "missing.test"], "", "there is no zone 'missing.test' in the KV tree"),
        (["diff", "missing.test", "127.0.0.1:9"], "", "neither Consul's domain nor a zone of the"),
        (["import", ".", "FILE"], "", "'.' is not the name of a zone"),
        (["import", "a..b", "FILE"], "", "'a..b' is not the name of a zone"),
        (["import", "bad.test", "FILE"], "$TTL 60\nwww A 10.0.0\n", "FILE:2: "),
        (["import", "bad.test", "FILE"], "$INCLUDE /etc/passwd\n", "FILE:1: "),
        (["import", "bad.test", "FILE"], "$TTL 60\n@ CNAME www\n", "the zone itself cannot be"),
        (["import", "bad.test", "FILE"], "$TTL 60\n*.a NS ns.b.\n", "cannot be delegated"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], text: str, said: str, consul: ConsulAgent, tmp_path: Path
) -> None:
    file = tmp_path / "a.zone"
    file.write_text(text)
    named = [str(file) if each == "FILE" else each for each in arguments]
    done = run_zone(consul, *named)
    assert done.returncode == 1
    assert said.replace("FILE", str(file)) in done.stderr
    assert consul.client.get(f"{ROOT}/bad.test/?recurse").status_code == 404
