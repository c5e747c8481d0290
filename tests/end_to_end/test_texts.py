"""Texts that others have written where an address or a host name ought to be, beside Consul."""

from collections.abc import Iterator

import pytest

from tests.support.ask import answers, ask, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, version, wait_until
from tests.support.consuldns_process import Serve

LATER = version() > (1, 8, 7)

# Address, what Consul gives for A, what we give. None: NODATA.
ADDRESSES: list[tuple[str, str | None, str | None]] = [
    ("10.0.0.7", "10.0.0.7", "10.0.0.7"),
    # 1.16 gives aliases of these: we stay with what they meant.
    ("010.001.000.007", "010.001.000.007." if LATER else "10.1.0.7", "10.1.0.7"),
    ("10.0.0.08", "10.0.0.08." if LATER else "10.0.0.8", "10.0.0.8"),
    ("000010.0.0.9", "000010.0.0.9." if LATER else "10.0.0.9", "10.0.0.9"),
    ("::ffff:10.0.0.7", "10.0.0.7", "10.0.0.7"),
    ("www.example.net", "www.example.net.", "www.example.net."),
    ("under_score.example.net", "under_score.example.net.", "under_score.example.net."),
    ("10.0.0.1:80", "10.0.0.1:80.", None),
    ("http://web.example.net", "http://web.example.net.", None),
    ("[::1]", "[::1].", None),
    ("[10.0.0.1]", "[10.0.0.1].", None),
    ("fe80::1%eth0", "fe80::1%eth0.", None),
    ("10.0.0.0/8", "10.0.0.0/8.", None),
    ("10.0.0.256", "10.0.0.256.", None),
    ("1234", "1234.", None),
    ("10.0.0", "10.0.0.", None),
]


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[ConsulAgent, Serve]]:
    with ConsulAgent() as consul:
        for number, (address, _, _) in enumerate(ADDRESSES):
            service = {"Service": f"odd-{number}", "Port": 80, "Address": address}
            body = {"Node": f"n{number}", "Address": "10.9.9.9", "Service": service}
            consul.put("/v1/catalog/register", body)
        with Serve(consul.url) as serve:
            wait_for_answer(serve.port, "odd-0.service.consul", "A", "10.0.0.7")
            yield consul, serve


@pytest.mark.parametrize("number", range(len(ADDRESSES)), ids=[each[0] for each in ADDRESSES])
def test_addresses(both: tuple[ConsulAgent, Serve], number: int) -> None:
    consul, serve = both
    name = f"odd-{number}.service.consul"
    _, theirs, ours = ADDRESSES[number]
    assert answers(ask(consul.dns_port, name, "A")) == ({theirs} if theirs else set())
    wait_until(lambda: rcode(ask(serve.port, name, "A")) == "NOERROR", name)
    assert answers(ask(serve.port, name, "A")) == ({ours} if ours else set())
    srv = answers(ask(serve.port, name, "SRV"))
    assert bool(srv) == bool(ours)


FOLDER = "0.0.0.10.IN-ADDR.ARPA"
VALUES = [
    '{"name": "web"}',
    "http://web.example.net",
    "10.0.0.1:80",
    "two words",
    "\x00\x01",
    "a..b",
]


def test_reverse_keys_whose_values_are_no_host_names(both: tuple[ConsulAgent, Serve]) -> None:
    """They are skipped, and named once; what else is in the folder is answered."""
    consul, serve = both
    for number, value in enumerate(VALUES, 50):
        path = f"/v1/kv/{FOLDER}/10.0.0.{number}"
        consul.client.put(path, content=value.encode()).raise_for_status()
    consul.client.put(f"/v1/kv/{FOLDER}/10.0.0.99", content=b"good.example.net")
    mixed = b"first.example.net\nnot a name\nsecond.example.net"
    consul.client.put(f"/v1/kv/{FOLDER}/10.0.0.98", content=mixed)
    wait_for_answer(serve.port, "99.0.0.10.in-addr.arpa", "PTR", "good.example.net.")
    wait_until(
        lambda: len(answers(ask(serve.port, "98.0.0.10.in-addr.arpa", "PTR"))) == 2, "two names"
    )
    for number in range(50, 50 + len(VALUES)):
        assert rcode(ask(serve.port, f"{number}.0.0.10.in-addr.arpa", "PTR")) == "NXDOMAIN"
    serve.wait_for_line("its value is not a host name")
    assert not any(option for option in ask(serve.port, "99.0.0.10.in-addr.arpa", "PTR").options)


def test_a_name_that_is_replaced_by_nonsense_is_gone(both: tuple[ConsulAgent, Serve]) -> None:
    consul, serve = both
    path, name = f"/v1/kv/{FOLDER}/10.0.0.97", "97.0.0.10.in-addr.arpa"
    consul.client.put(path, content=b"old.example.net")
    wait_for_answer(serve.port, name, "PTR", "old.example.net.")
    consul.client.put(path, content=b"no name at all")
    wait_until(lambda: rcode(ask(serve.port, name, "PTR")) == "NXDOMAIN", "gone")
