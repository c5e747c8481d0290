"""Zones of the KV tree: loops and fans that people may write, and the order of answers."""

from collections import Counter

import pytest

from consuldns.dns.answer import Answer, Outcome
from consuldns.dns.policy import Policy
from consuldns.dns.resolver import resolve
from consuldns.dns.zone_records import MAX_HOST_NAMES
from tests.support.catalog import Catalog
from tests.support.scenarios import question

ROOT = "consuldns/zones/z.test"


def instance(number: int, service: str, address: str) -> dict[str, object]:
    return {
        "Node": f"{service}-{number}",
        "Address": "192.0.2.1",
        "Service": {"ID": f"{service}-{number}", "Service": service, "Address": address},
    }


def answer(ask: str, kv: dict[str, str], *register: dict[str, object]) -> Answer:
    views = Catalog(register=list(register), kv={f"{ROOT}/{k}": v for k, v in kv.items()}).views()
    found = resolve(question(ask), views, Policy())
    assert isinstance(found, Answer)
    return found


def count(found: Answer) -> int:
    return sum(len(group.records) for group in found.groups)


@pytest.mark.parametrize("name", ["z.test", "www.z.test", "x.wild.z.test"])
@pytest.mark.parametrize("type_", ["A", "AAAA", "ANY", "SRV", "MX"])
def test_a_service_whose_instances_are_named_like_its_alias(name: str, type_: str) -> None:
    kv = {
        "@": 'service = "round"\nMX = "1 @"',
        "www": 'service = "round"\nTXT = "x"',
        "*.wild": 'service = "round"\nMX = "1 x.wild.z.test."',
    }
    hosts = ("z.test", "www.z.test", "x.wild.z.test")
    register = [instance(n, "round", host) for n, host in enumerate(hosts)]
    assert answer(f"{name} {type_}", kv, *register).outcome in (Outcome.ANSWER, Outcome.NODATA)


def test_names_that_lead_to_many_names_that_do() -> None:
    """Each of 100 names leads to all of them, in every way that there is."""
    targets = [f"n{number}.z.test." for number in range(100)]
    kv = {
        f"n{number}": "\n".join(
            (
                'service = "many"',
                f"MX = {[f'1 {each}' for each in targets]}",
                f"SRV = {[f'1 1 1 {each}' for each in targets]}",
            )
        ).replace('service = "many"\n', "" if number % 2 else 'service = "many"\n')
        for number in range(100)
    }
    kv |= {name: text.partition("\nSRV")[0] for name, text in kv.items() if "service" in text}
    register = [instance(n, "many", f"n{n}.z.test") for n in range(100)]
    for ask in ("n0.z.test A", "n0.z.test MX", "n1.z.test SRV", "n1.z.test ANY", "n0.z.test ANY"):
        assert count(answer(ask, kv, *register)) <= 1 + 2 * 100, "or it takes hours"


def test_only_some_instances_with_host_names_are_resolved_for_an_apex() -> None:
    kv = {"@": 'service = "hosts"'} | {f"h{n}": f'A = "10.0.0.{n}"' for n in range(100)}
    register = [instance(n, "hosts", f"h{n}.z.test") for n in range(100)]
    assert count(answer("z.test A", kv, *register)) == MAX_HOST_NAMES


def test_addresses_behind_an_alias_come_in_every_order() -> None:
    addresses = [f"10.0.0.{n}" for n in range(4)]
    kv = {"www": 'CNAME = "web"', "web": f"A = {addresses}", "far": 'CNAME = "s.service.consul."'}
    register = [instance(n, "s", each) for n, each in enumerate(addresses)]
    for ask in ("www.z.test A", "far.z.test A"):
        found = answer(ask, kv, *register)
        assert found.exclusive
        assert all(group.records[0].type == 5 for group in found.groups)
        firsts = Counter(group.records[1].data for group in found.groups)
        assert set(firsts.values()) == {1}
        assert len(firsts) == 4
        assert {len(group.records) for group in found.groups} == {5}
