"""The ACL rules of docs/kubernetes.md are enough; with fewer, what may be read is served."""

import re
from collections.abc import Iterator

import pytest

from tests.kubernetes.clusters import scripted
from tests.kubernetes.objects import service
from tests.support.ask import answers, ask, extended_errors, rcode, wait_for_answer
from tests.support.consul_agent import REPOSITORY, ConsulAgent, wait_until
from tests.support.consuldns_process import ConsuldnsProcess, Serve

ADMIN = "11111111-2222-3333-4444-555555555555"
SYNC, SERVER, SERVER_THAT_LISTS = re.findall(
    r"^```hcl\n(.*?)^```$",
    (REPOSITORY / "docs/kubernetes.md").read_text(),
    re.MULTILINE | re.DOTALL,
)
CATALOG_ALONE = "".join(line for line in SERVER.splitlines(keepends=True) if "key_" not in line)
CONFIG = """
[consul]
token = "{token}"
[dns.kubernetes.zones]
"cluster.local" = "kubernetes"
"""
FLAT, NESTED, POINTER, OWN_ZONE = (
    "web.service.consul.",
    "web.default.svc.dc1.consul.",
    "1.1.254.10.in-addr.arpa.",
    "web.default.svc.cluster.local.",
)


@pytest.fixture(params=[False, True], ids=["", "listing keys is a right"])
def consul(request: pytest.FixtureRequest) -> Iterator[ConsulAgent]:
    acl = {
        "enabled": True,
        "default_policy": "deny",
        "enable_key_list_policy": request.param,
        "tokens": {"master": ADMIN, "agent": ADMIN},
    }
    agent = ConsulAgent(config={"acl": acl, "primary_datacenter": "dc1"})
    agent.client.headers["X-Consul-Token"] = ADMIN
    with agent:
        yield agent


def listing_is_a_right(consul: ConsulAgent) -> bool:
    """How this Consul is set."""
    config = consul.client.get("/v1/agent/self").json()["DebugConfig"]
    return bool(config["ACLEnableKeyListPolicy"])


def token(consul: ConsulAgent, name: str, rules: str) -> str:
    """A token with these rights."""
    consul.put("/v1/acl/policy", {"Name": name, "Rules": rules})
    made = consul.client.put("/v1/acl/token", json={"Policies": [{"Name": name}]})
    return str(made.json()["SecretID"])


def test_rights(consul: ConsulAgent) -> None:
    environment = {"CONSUL_HTTP_TOKEN": token(consul, "sync", SYNC)}
    rules = SERVER_THAT_LISTS if listing_is_a_right(consul) else SERVER
    full = CONFIG.format(token=token(consul, "dns", rules))
    poor = CONFIG.format(token=token(consul, "catalog", CATALOG_ALONE))
    with scripted() as kubernetes:
        kubernetes.put("services", service("web", "10.254.1.1"))
        kubernetes.put("services", service("other", "10.254.1.2"))
        command = ["sync", "run", "--consul-addr", consul.url, *kubernetes.arguments]
        with (
            ConsuldnsProcess(command, environment=environment) as worker,
            Serve(consul.url, config=full) as serve,
            Serve(consul.url, config=poor) as catalog_alone,
        ):
            worker.wait_for_line("agent=server-1")
            for name in (FLAT, NESTED, OWN_ZONE):
                wait_for_answer(serve.port, name, "A", "10.254.1.1")
            wait_for_answer(serve.port, POINTER, "PTR", "web.service.dc1.consul.")
            assert_serves_the_catalog_alone(catalog_alone)
            kubernetes.delete("services", "web")
            for name in (FLAT, NESTED, OWN_ZONE):
                wait_for_answer(serve.port, name, "A", "NXDOMAIN")
            wait_for_answer(serve.port, POINTER, "PTR", "NXDOMAIN")
        assert "denied" not in worker.log
        assert "denied" not in serve.log


def assert_serves_the_catalog_alone(serve: Serve) -> None:
    """A server whose token may not read the keys."""
    assert serve.admin("/ready").status_code == 200
    wait_for_answer(serve.port, FLAT, "A", "10.254.1.1")
    for name in ("missing.service.consul.", "missing.ns.service.consul.", NESTED):
        assert rcode(ask(serve.port, name)) == "NXDOMAIN", name
    assert rcode(ask(serve.port, "9.9.254.10.in-addr.arpa.", "PTR")) == "NXDOMAIN"
    assert rcode(ask(serve.port, OWN_ZONE)) == "SERVFAIL"


def test_lost_rights_do_not_deny_prepared_queries_and_mesh_endpoints(consul: ConsulAgent) -> None:
    """An empty reply for what was there is doubted: its instances are still listed, but hidden."""
    proxy = {"Service": "web-proxy", "Kind": "connect-proxy", "Port": 20000}
    proxy["Proxy"] = {"DestinationServiceName": "web"}
    for registered in ({"Service": "web", "Port": 80}, proxy):
        payload = {"Node": "n1", "Address": "10.0.0.1", "Service": registered}
        consul.put("/v1/catalog/register", payload)
    query = {"Name": "found", "Service": {"Service": "web"}}
    consul.client.post("/v1/query", json=query).raise_for_status()
    secret = token(consul, "dns", CATALOG_ALONE)
    (policy,) = [
        each for each in consul.client.get("/v1/acl/policies").json() if each["Name"] == "dns"
    ]
    names = ("found.query.consul.", "web.connect.consul.")
    with Serve(consul.url, config=f'[consul]\ntoken = "{secret}"\n') as server:
        for name in names:
            wait_for_answer(server.port, name, "A", "10.0.0.1")
        body = {"Name": "dns", "Rules": 'service_prefix "" { policy = "read" }'}
        consul.put(f"/v1/acl/policy/{policy['ID']}", body)
        for name in names:

            def is_stale(name: str = name) -> bool:
                reply = ask(server.port, name)
                assert answers(reply) == {"10.0.0.1"}, rcode(reply)
                return extended_errors(reply) == [3]

            wait_until(is_stale, f"{name} is marked stale", 40.0)
