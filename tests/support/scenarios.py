"""The scenarios of tests/cases: a catalog, settings, and what queries are to be answered.

    [[scenario]]
    name = "what this is about"
    policy = { node_ttl = 7 }                # fields of Policy; names as text
    kv = { "folder/key" = "value" }          # optional
    datacenters = ["dc1", "dc2"]             # optional, the agent's first
    kubernetes = [{...}]                     # optional: tests/support/kubernetes_data.py
    namespaces = ["default"]                 # optional, of Kubernetes

    [[scenario.register]]                    # a body of PUT /v1/catalog/register
    Node = "foo"
    Address = "127.0.0.1"

    [[scenario.query]]
    case = "1"                               # of the acceptance list, or a few words
    ask = "foo.node.consul A"                # name, type (any number as TYPE666), class if not IN
    outcome = "answer"                       # as in dns.answer.Outcome; "answer" is the default
    answer = ["foo.node.consul. 7 A 127.0.0.1"]
    one_of = [["..."], ["..."]]              # instead of answer: exactly one of these is sent
    additional = ["..."]                     # all that may be added, node metadata included
    authority = ["..."]                      # default: the SOA if negative, else nothing
    domain = "consul."                       # the default; that of the names in the SOA
    zone = "10.in-addr.arpa."                # owner of the SOA if it is not the domain
    differs = "name-of-difference"           # Consul answers otherwise: docs/consul-differences.md

Sections are compared as sets. `kubernetes` and `namespaces` at the top of a file are for all of its
scenarios.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consuldns.dns.policy import KubernetesPolicy, Policy, StartOfAuthorityTimes
from consuldns.dns.question import Class, Question, Type
from consuldns.names import fold, parse_address, parse_name
from tests.support import kubernetes_data
from tests.support.catalog import Catalog

CASES = Path(__file__).resolve().parents[1] / "cases"


@dataclass(frozen=True)
class Scenario:
    """A state of Consul, with the queries that it is there for."""

    name: str
    catalog: Catalog
    policy: Policy
    queries: list[dict[str, Any]]


def scenarios() -> list[Scenario]:
    """All of them, from all files."""
    return [scenario for path in sorted(CASES.glob("*.toml")) for scenario in _read(path)]


def _read(path: Path) -> Iterator[Scenario]:
    content = tomllib.loads(path.read_text())
    for each in content["scenario"]:
        fields = {**content, **each}
        services = fields.get("kubernetes", [])
        namespaces = fields.get("namespaces", [])
        catalog = Catalog(
            each.get("datacenters", ["dc1"]),
            each.get("register", []) + kubernetes_data.registrations(services),
            each.get("kv", {}) | kubernetes_data.keys(services, namespaces),
        )
        name = f"{path.stem}: {each['name']}"
        yield Scenario(name, catalog, policy(each.get("policy", {})), each["query"])


def policy(settings: dict[str, Any]) -> Policy:
    """Policy from fields with names and addresses as text."""
    fields = dict(settings)
    if "domain" in fields:
        fields["domain"] = parse_name(fields["domain"])
    if "alt_domain" in fields:
        fields["alt_domains"] = (parse_name(fields.pop("alt_domain")),)
    if "reverse_zones" in fields:
        fields["reverse_zones"] = tuple(parse_name(zone) for zone in fields["reverse_zones"])
    if "soa" in fields:
        fields["soa"] = StartOfAuthorityTimes(**fields["soa"])
    if "name_servers" in fields:
        fields["name_servers"] = tuple(parse_name(name) for name in fields["name_servers"])
    if "name_server_addresses" in fields:
        addresses = [parse_address(text) for text in fields["name_server_addresses"]]
        fields["name_server_addresses"] = tuple(a.packed for a in addresses if a is not None)
    if "kubernetes" in fields:
        zones = {parse_name(k): v for k, v in fields["kubernetes"].get("zones", {}).items()}
        given = {**fields["kubernetes"], "zones": zones}
        if "consul_k8s_prefixes" in given:
            given["consul_k8s_prefixes"] = tuple(given["consul_k8s_prefixes"])
        fields["kubernetes"] = KubernetesPolicy(**given)
    return Policy(**fields)


def question(ask: str) -> Question:
    """`name type [class]`; a type or class without a name of its own as in RFC 3597."""
    name, type_, *class_ = ask.split()
    number = int(type_[4:]) if type_.startswith("TYPE") else int(Type[type_])
    return Question(fold(parse_name(name)), number, Class[class_[0]] if class_ else Class.IN)


def expected_authority(query: dict[str, Any], times: StartOfAuthorityTimes) -> list[str]:
    """The authority section that a query of a scenario wants."""
    if "authority" in query or query.get("outcome") not in ("nodata", "nxdomain"):
        return list(query.get("authority", []))
    domain = query.get("domain", "consul.")
    zone = query.get("zone", domain)
    return [
        f"{zone} {times.min_ttl} SOA {query.get('mname', f'ns.{domain}')} hostmaster.{domain} * "
        f"{times.refresh} {times.retry} {times.expire} {times.min_ttl}"
    ]
