"""`consuldns dev`: the walk-through of the proof of concept, word for word, with dig and curl."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.ask import dig
from tests.support.consul_agent import free_ports, wait_until
from tests.support.consuldns_process import ConsuldnsProcess


class Dev(ConsuldnsProcess):
    """`consuldns dev` on free ports; Consul's own are its defaults."""

    def __init__(self) -> None:
        self.http_port, self.dns_port, admin_port = free_ports(3)
        super().__init__(
            [
                "dev",
                "--http-addr",
                f"127.0.0.1:{self.http_port}",
                "--listen",
                f"127.0.0.1:{self.dns_port}",
            ],
            environment={"CONSULDNS_ADMIN_ADDR": f"127.0.0.1:{admin_port}"},
        )


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    with Dev() as process:
        process.wait_for_line("ready")
        yield process


def curl(*arguments: str) -> str:
    return subprocess.run(
        ["curl", "-s", *arguments], capture_output=True, text=True, check=True
    ).stdout


def test_dns_of_a_service(dev: Dev) -> None:
    output = dig(dev.dns_port, "monitoring-heapster.service.dc1.consul.", "ANY")
    assert "status: NOERROR" in output
    assert ";; flags: qr aa rd; QUERY: 1, ANSWER: 1" in output
    lines = [line.split() for line in output.splitlines()]
    name = "monitoring-heapster.service.dc1.consul."
    assert [name, "0", "IN", "A", "10.254.70.176"] in lines


def test_reverse_entry_by_hand(dev: Dev) -> None:
    key = f"http://127.0.0.1:{dev.http_port}/v1/kv/0.70.254.10.IN-ADDR.ARPA/10.254.70.176"
    assert curl("-X", "PUT", "-d", "monitoring-heapster.service.dc1.consul", key).strip() == "true"
    wait_until(
        lambda: (
            dig(dev.dns_port, "+short", "-x", "10.254.70.176")
            == "monitoring-heapster.service.dc1.consul.\n"
        ),
        "the reverse name",
    )
    (entry,) = json.loads(curl(f"http://127.0.0.1:{dev.http_port}/v1/kv/?recurse"))
    assert entry["Key"] == "0.70.254.10.IN-ADDR.ARPA/10.254.70.176"
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


def test_it_says_what_to_try(dev: Dev) -> None:
    assert "dig @127.0.0.1" in dev.log
    assert "curl" in dev.log
