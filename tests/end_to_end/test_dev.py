"""`consuldns dev`: the walk-through of the proof of concept, word for word, with dig and curl."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.ask import dig
from tests.support.consul_agent import free_ports, wait_until
from tests.support.consuldns_process import ConsuldnsProcess

WORSE_THAN_INFO = re.compile(r" (WARNING|ERROR|CRITICAL) |^Traceback")


class Dev(ConsuldnsProcess):
    """`consuldns dev` on free ports; Consul's own are its defaults."""

    def __init__(self, *arguments: str) -> None:
        self.http_port, self.dns_port, self.admin_port = free_ports(3)
        super().__init__(
            [
                "dev",
                "--http-addr",
                f"127.0.0.1:{self.http_port}",
                "--listen",
                f"127.0.0.1:{self.dns_port}",
                *arguments,
            ],
            environment={"CONSULDNS_ADMIN_ADDR": f"127.0.0.1:{self.admin_port}"},
        )


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    with Dev() as process:
        process.wait_for_line("ready")
        yield process
        assert [line for line in process.lines if WORSE_THAN_INFO.search(line)] == []


def curl(*arguments: str) -> str:
    return subprocess.run(
        ["curl", "-s", *arguments], capture_output=True, text=True, check=True
    ).stdout


def shell(line: str) -> str:
    """What a line that was copied into a shell prints."""
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout


def test_the_walk_through_that_it_prints(dev: Dev) -> None:
    begin = dev.lines.index("Try, in another shell:") + 1
    forward, put, backward, stored = dev.lines[begin : begin + 4]
    dig, kv = f"dig @127.0.0.1 -p {dev.dns_port}", f"http://127.0.0.1:{dev.http_port}/v1/kv"
    name = "monitoring-heapster.service.dc1.consul"
    key = "0.70.254.10.IN-ADDR.ARPA/10.254.70.176"

    assert forward == f"    {dig} {name}. ANY"
    output = shell(forward)
    assert "status: NOERROR" in output
    assert ";; flags: qr aa rd; QUERY: 1, ANSWER: 1" in output
    assert [f"{name}.", "0", "IN", "A", "10.254.70.176"] in map(str.split, output.splitlines())

    assert put == f"    curl -X PUT -d '{name}' {kv}/{key}"
    assert shell(put).strip() == "true"

    assert backward == f"    {dig} -x 10.254.70.176"
    wait_until(lambda: f"\tIN\tPTR\t{name}.\n" in shell(backward), "the reverse name")

    assert stored == f"    curl '{kv}/?recurse'"
    (entry,) = json.loads(shell(stored))
    assert entry["Key"] == key
    assert entry["Value"] == "bW9uaXRvcmluZy1oZWFwc3Rlci5zZXJ2aWNlLmRjMS5jb25zdWw="
    assert {"LockIndex", "Flags", "CreateIndex", "ModifyIndex"} <= set(entry)


def test_the_services_of_the_proof_of_concept(dev: Dev) -> None:
    services = json.loads(curl(f"http://127.0.0.1:{dev.http_port}/v1/catalog/services"))
    assert set(services) == {
        "consul",
        "elasticsearch-logging",
        "kibana-logging",
        "kube-consul",
        "kube-dns",
        "kube-ui",
        "kubernetes",
        "monitoring-grafana",
        "monitoring-heapster",
        "monitoring-influxdb",
        "redis-master",
        "redis-slave",
    }
    for service in services:
        assert "status: NOERROR" in dig(dev.dns_port, f"{service}.service.consul", "SRV")


def test_the_agent_has_all_that_the_server_asks_for(dev: Dev) -> None:
    def outcomes() -> set[tuple[str, str]]:
        metrics = curl(f"http://127.0.0.1:{dev.admin_port}/metrics")
        found = re.findall(
            r'^consuldns_consul_requests_total{endpoint="(.*)",outcome="(.*)"}', metrics, re.M
        )
        return set(found)

    standing = {"catalog/services", "catalog/nodes", "health/state", "catalog/datacenters"}
    wait_until(lambda: standing <= {endpoint for endpoint, _ in outcomes()}, "a reply to each")
    # An empty KV tree is a 404.
    assert {outcome for _, outcome in outcomes() - {("kv", "NotFound")}} == {"ok"}


def test_without_the_sample_there_is_nothing_to_try() -> None:
    with Dev("--no-sample") as empty:
        empty.wait_for_line("ready")
        assert "Try" not in empty.log
        assert "no services" in empty.log
