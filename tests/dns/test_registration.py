"""What the metadata of instances say: TTL, texts, service bindings."""

from typing import Any

import dns.name
import dns.rdata
import pytest

from consuldns.dns.answer import Answer, RawData, Text
from consuldns.dns.policy import Policy
from consuldns.dns.question import Type
from consuldns.names import parse_name
from tests.dns.test_properties import ask
from tests.support.catalog import Catalog


def web(*instances: dict[str, str], **fields: Any) -> Catalog:
    """A service with instances that have these metadata."""
    return Catalog(
        register=[
            {
                "Node": f"n{number}",
                "Address": f"10.0.0.{number}",
                "Service": {"ID": f"web-{number}", "Service": "web", "Port": 443, "Meta": meta}
                | fields,
            }
            for number, meta in enumerate(instances, 1)
        ]
    )


def answer(catalog: Catalog, type_: int, policy: Policy | None = None) -> Answer:
    return ask(parse_name("web.service.consul"), type_, catalog.views(), policy or Policy())


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (["30s"], 30),
        (["30"], 30),
        (["1m30s", "2m"], 90),
        (["0"], 0),
        (["24h"], 86_400),
        (["25h"], 7),
        (["-1s"], 7),
        (["soon"], 7),
        ([""], 7),
        (["1e400"], 7),
        (["soon", "9s"], 9),
    ],
)
def test_the_ttl(texts: list[str], seconds: int) -> None:
    catalog = web(*({"consuldns-ttl": text} for text in texts), {})
    for type_ in (Type.A, Type.SRV):
        found = answer(catalog, type_, Policy(service_ttl={"*": 7}))
        assert {record.ttl for group in found.groups for record in group.records} == {seconds}


def test_texts_are_the_metadata_of_all_instances_each_once() -> None:
    catalog = web(
        {"version": "1.2", "consuldns-ttl": "5s", "external-source": "nomad", "k8s-uid": "u"},
        {"version": "1.2", "rfc1035-spf": "v=spf1 -all"},
        {"version": "1.3"},
    )
    found = answer(catalog, Type.TXT)
    assert [record.data for group in found.groups for record in group.records] == [
        Text((b"version=1.2",)),
        Text((b"v=spf1 -all",)),
        Text((b"version=1.3",)),
    ]


def test_without_metadata_there_is_no_text() -> None:
    assert not answer(web({}, {}), Type.TXT).groups


@pytest.mark.parametrize("type_", [Type.SVCB, Type.HTTPS])
def test_service_bindings(type_: Type) -> None:
    catalog = web({"consuldns-alpn": "h2, http/1.1"}, {"consuldns-alpn": "h3"}, {})
    found = answer(catalog, type_)
    shown = []
    for group in found.groups:
        (record,) = group.records
        assert isinstance(record.data, RawData)
        content = record.data.content
        shown.append(dns.rdata.from_wire("IN", type_.name, content, 0, len(content)).to_text())
        assert len(group.additional) == 1
    assert shown == [
        '1 n1.node.dc1.consul. alpn="h2,http/1.1" port="443"',
        '1 n2.node.dc1.consul. alpn="h3" port="443"',
    ]


@pytest.mark.parametrize("protocols", ["", ",", "h2,,h3", "é", "x" * 256, "a\nb"])
def test_protocols_that_make_no_sense_are_left_out(protocols: str) -> None:
    assert not answer(web({"consuldns-alpn": protocols}), Type.HTTPS).groups


def test_a_service_outside_is_an_alias_for_every_type() -> None:
    catalog = web({"version": "1"}, Address="www.example.net")
    assert answer(catalog, Type.TXT).groups[0].records[0].type == Type.CNAME


def test_weights_of_instances_at_one_address_add_up() -> None:
    catalog = web({}, {}, Address="10.9.9.9", Weights={"Passing": 5, "Warning": 1})
    found = answer(catalog, Type.A, Policy(answer_order="weighted"))
    assert found.by_weight
    assert [group.weight for group in found.groups] == [10]
    assert not answer(catalog, Type.SRV, Policy(answer_order="weighted")).by_weight


def test_the_order_of_the_nearest_is_kept() -> None:
    assert not answer(web({}, {}), Type.A, Policy(answer_order="nearest")).shuffled
    assert not answer(web({}, {}), Type.SRV, Policy(answer_order="nearest")).shuffled
    assert answer(web({}, {}), Type.A).shuffled


def test_all_names_of_an_address() -> None:
    catalog = web({}, {}, Address="10.0.0.1")
    catalog.register.append({"Node": "twin", "Address": "10.0.0.1"})
    catalog.register.append(
        {"Node": "n2", "Address": "10.0.0.2", "Service": {"Service": "api", "Address": "10.0.0.1"}}
    )
    name = parse_name("1.0.0.10.in-addr.arpa")

    def names(policy: Policy) -> list[str]:
        found = ask(name, Type.PTR, catalog.views(), policy)
        return [
            b".".join(record.data.name).decode()  # type: ignore[union-attr]
            for group in found.groups
            for record in group.records
        ]

    assert names(Policy()) == ["n1.node.dc1.consul"]
    assert names(Policy(all_reverse_names=True)) == [
        "n1.node.dc1.consul",
        "twin.node.dc1.consul",
        "web.service.dc1.consul",
        "api.service.dc1.consul",
    ]
