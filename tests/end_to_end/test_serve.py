"""`consuldns serve` in front of a real Consul: answers follow the catalog, over UDP and TCP."""

import json
import os
import random
import signal
import socket
import subprocess

import pytest

from tests.end_to_end.conftest import deregister, register
from tests.support.ask import answers, ask, dig, extended_errors, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import PROGRAM, Serve, children_of


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_a_service_is_answered(consul: ConsulAgent, serve: Serve, tcp: bool) -> None:
    register(consul, "plain", "10.1.2.3")
    wait_until(
        lambda: answers(ask(serve.port, "plain.service.consul", tcp=tcp)) == {"10.1.2.3"},
        "the registered address",
    )


def test_dig_sees_a_service_as_the_walk_through_shows_it(consul: ConsulAgent, serve: Serve) -> None:
    register(consul, "monitoring-heapster", "10.254.70.176")
    name = "monitoring-heapster.service.dc1.consul."
    wait_until(lambda: "NOERROR" in dig(serve.port, name, "ANY"), "the service")
    output = dig(serve.port, "+notcp", name, "ANY")
    assert ";; flags: qr aa rd; QUERY: 1, ANSWER: 1" in output
    assert [line.split() for line in output.splitlines() if line.startswith(name)] == [
        [name, "0", "IN", "A", "10.254.70.176"]
    ]


def test_a_reverse_key_is_served_as_soon_as_it_is_put(consul: ConsulAgent, serve: Serve) -> None:
    consul.put(
        "/v1/kv/0.70.254.10.IN-ADDR.ARPA/10.254.70.176", "monitoring-heapster.service.dc1.consul"
    )
    target = "monitoring-heapster.service.dc1.consul."
    wait_until(lambda: dig(serve.port, "+short", "-x", "10.254.70.176").strip() == target, "PTR")


def test_changes_are_followed(consul: ConsulAgent, serve: Serve) -> None:
    def given() -> set[str]:
        return answers(ask(serve.port, "moving.service.consul"))

    register(consul, "moving", "10.1.1.1")
    wait_until(lambda: given() == {"10.1.1.1"}, "registered")
    register(consul, "moving", "10.1.1.2")
    wait_until(lambda: given() == {"10.1.1.2"}, "new address")
    register(consul, "moving", "10.1.1.2", status="critical")
    wait_until(lambda: rcode(ask(serve.port, "moving.service.consul")) == "NXDOMAIN", "critical")
    register(consul, "moving", "10.1.1.2")
    wait_until(lambda: given() == {"10.1.1.2"}, "passing again")
    deregister(consul, "moving")
    wait_until(lambda: rcode(ask(serve.port, "moving.service.consul")) == "NXDOMAIN", "gone")


def test_names_that_nobody_registered_cost_consul_nothing(
    consul: ConsulAgent, serve: Serve
) -> None:
    generator = random.Random(1)
    before = serve.metric("consuldns_consul_requests_total")
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect(("127.0.0.1", serve.port))
        for number in range(2000):
            label = b"r%012x" % generator.getrandbits(48)
            name = bytes([len(label)]) + label + b"\7service\6consul\0"
            client.send(number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1")
            reply = client.recv(512)
            assert reply[3] & 15 == 3, "NXDOMAIN"
    after = serve.metric("consuldns_consul_requests_total")
    # Blocking queries that happened to return meanwhile, and nothing for each name.
    assert after - before < 50


def test_a_killed_worker_is_replaced_and_its_queries_answered(
    consul: ConsulAgent, serve: Serve
) -> None:
    register(consul, "steady", "10.9.9.9")
    wait_until(lambda: answers(ask(serve.port, "steady.service.consul")) == {"10.9.9.9"}, "steady")
    before = set(children_of(serve.pid))
    assert len(before) == 2
    for victim in before:
        os.kill(victim, signal.SIGKILL)
    for _ in range(20):
        assert answers(ask(serve.port, "steady.service.consul")) == {"10.9.9.9"}
    wait_until(lambda: len(set(children_of(serve.pid)) - before) == 2, "two new workers")


def test_a_hung_worker_is_replaced(consul: ConsulAgent, serve: Serve) -> None:
    register(consul, "steady", "10.9.9.9")
    wait_until(lambda: serve.admin("/ready").status_code == 200, "ready")
    victim = children_of(serve.pid)[0]
    os.kill(victim, signal.SIGSTOP)
    wait_until(lambda: victim not in children_of(serve.pid), "the stopped worker replaced")
    wait_until(lambda: serve.admin("/ready").status_code == 200, "ready again")


def test_answers_go_on_while_consul_is_away_and_are_fresh_after() -> None:
    with ConsulAgent(persistent=True) as consul, Serve(consul.url) as serve:
        register(consul, "kept", "10.5.5.5")
        wait_until(lambda: answers(ask(serve.port, "kept.service.consul")) == {"10.5.5.5"}, "kept")
        consul.kill()

        def stale() -> bool:
            reply = ask(serve.port, "kept.service.consul")
            assert answers(reply) == {"10.5.5.5"}
            return extended_errors(reply) == [3]

        wait_until(stale, "answers are marked stale")
        assert rcode(ask(serve.port, "nobody.service.consul")) == "NXDOMAIN"
        consul.start()
        register(consul, "kept", "10.5.5.6")
        wait_until(lambda: answers(ask(serve.port, "kept.service.consul")) == {"10.5.5.6"}, "fresh")
        wait_until(
            lambda: extended_errors(ask(serve.port, "kept.service.consul")) == [], "not stale"
        )


def test_started_before_consul_it_says_servfail_and_then_the_truth() -> None:
    consul = ConsulAgent()
    with Serve(consul.url, wait_ready=False) as serve:
        reply = ask(serve.port, "consul.service.consul")
        assert rcode(reply) == "SERVFAIL"
        assert extended_errors(reply)
        assert serve.admin("/ready").status_code == 503
        with consul:
            wait_until(
                lambda: answers(ask(serve.port, "consul.service.consul")) == {"127.0.0.1"},
                "the servers' own service",
            )
            serve.wait_for_line("ready")


def test_it_stops_cleanly(consul: ConsulAgent) -> None:
    with Serve(consul.url) as serve:
        assert serve.stop() == 0
    assert "Traceback" not in serve.log


def test_a_port_that_is_taken_is_named(consul: ConsulAgent, serve: Serve) -> None:
    second = Serve(consul.url, wait_ready=False)
    second.arguments[2] = f"127.0.0.1:{serve.port}"
    second.start()
    wait_until(lambda: second.status is not None, "the second server gives up")
    second.stop()
    assert second.status == 3
    assert f"127.0.0.1:{serve.port}" in second.log
    assert "Traceback" not in second.log


def test_explain(consul: ConsulAgent, serve: Serve) -> None:
    """From the server's own data, whether it has been asked for them or not."""
    register(consul, "explained", "10.0.0.9")
    wait_for_answer(serve.port, "explained.service.consul", "A", "10.0.0.9")
    found = serve.admin("/explain?name=Explained.service.consul")
    assert found.status_code == 200
    assert '* 1. Consul: service "explained"' in found.text
    assert "explained.service.consul. 0 IN A 10.0.0.9" in found.text
    missing = serve.admin("/explain?name=explaimed.service.consul&type=srv").text
    assert 'there is no service "explaimed" (did you mean "explained"?)' in missing
    assert "=> nxdomain" in missing
    fresh = serve.admin("/explain?name=consul.service.consul&type=TYPE33").text
    assert "=> answer" in fresh
    assert serve.admin("/explain?name=a..b").status_code == 400
    assert serve.admin("/explain?name=a&type=NOPE").status_code == 400
    assert serve.admin("/explain").status_code in (200, 400)
    command = ["query", f"@127.0.0.1:{serve.port}", "explained.service.consul", "--explain"]
    command += ["--admin-addr", f"127.0.0.1:{serve.admin_port}"]
    shown = subprocess.run([*PROGRAM, *command], capture_output=True, text=True, check=True).stdout
    assert "by the server with the admin address" in shown
    assert '* 1. Consul: service "explained"' in shown


def test_the_status_page(consul: ConsulAgent, serve: Serve) -> None:
    register(consul, "shown", "10.0.0.9")
    wait_for_answer(serve.port, "shown.service.consul", "A", "10.0.0.9")
    wait_until(lambda: "NOERROR" in serve.admin("/").text, "the first replies on the page")
    page = serve.admin("/?name=shown.service.consul&type=A").text
    assert f"127.0.0.1:{serve.port} (udp, tcp)" in page
    assert "<td>service instances</td>" in page
    assert "None: all data is as Consul has it." in page
    assert "shown.service.consul. 0 IN A 10.0.0.9" in page


def test_the_query_log_in_json(consul: ConsulAgent) -> None:
    register(consul, "logged", "10.0.0.9")
    config = 'query_log = "all"\nlog_format = "json"\n'
    with Serve(consul.url, config=config) as serve:
        wait_for_answer(serve.port, "logged.service.consul", "A", "10.0.0.9")
        ask(serve.port, "logged.service.consul", "A", tcp=True)
        ask(serve.port, "nope.service.consul", "A")
        serve.wait_for_line("NXDOMAIN")
        found = [json.loads(line) for line in serve.log.splitlines() if line.startswith("{")]
    queries = [each["message"] for each in found if each["logger"] == "consuldns.queries"]
    assert any('"A IN logged.service.consul. tcp ' in line for line in queries)
    assert any('"A IN logged.service.consul. udp ' in line for line in queries)
    assert {"time", "level", "logger", "message"} == set(found[0])


def test_the_log_changes_with_a_reload(consul: ConsulAgent) -> None:
    register(consul, "reloaded", "10.0.0.9")
    with Serve(consul.url, config='log_level = "info"\n') as serve:
        wait_for_answer(serve.port, "reloaded.service.consul", "A", "10.0.0.9")
        assert "consuldns.queries" not in serve.log
        serve.config_file.write_text('query_log = "all"\nlog_level = "debug"\n')
        os.kill(serve.pid, signal.SIGHUP)
        serve.wait_for_line("SIGHUP: the new settings of [dns] and of the log are in use")

        def is_logged() -> bool:
            ask(serve.port, "reloaded.service.consul", "A")
            return '"A IN reloaded.service.consul. udp' in serve.log

        wait_until(is_logged, "the query log")
