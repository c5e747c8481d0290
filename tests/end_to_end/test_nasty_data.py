"""Data that a real Consul lets in: one bad record costs itself alone, and no process ends."""

from tests.support.ask import answers, ask, extended_errors, rcode, wait_for_answer
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve, children_of

ADMIN = "11111111-2222-3333-4444-555555555555"
POINTER = "176.70.254.10.in-addr.arpa"
KEY = "/v1/kv/0.70.254.10.IN-ADDR.ARPA/10.254.70.176"


def nested(levels: int) -> str:
    return '{"n":' * levels + "1" + "}" * levels


def register(consul: ConsulAgent, service: str, node: str, address: str, proxy: str = "") -> None:
    """Register an instance; `proxy` is JSON for Proxy.Config."""
    more = f', "Proxy": {{"Config": {proxy}}}' if proxy else ""
    consul.put(
        "/v1/catalog/register",
        f'{{"Node": "{node}", "Address": "{address}", "Service": {{"Service": "{service}", '
        f'"ID": "{service}-{node}", "Address": "{address}", "Port": 80{more}}}}}',
    )


def deregister(consul: ConsulAgent, service: str, node: str) -> None:
    consul.put("/v1/catalog/deregister", {"Node": node, "ServiceID": f"{service}-{node}"})


def test_records_that_cannot_be_read_cost_themselves_alone() -> None:
    with ConsulAgent() as consul:
        register(consul, "web", "n1", "10.1.0.1")
        register(consul, "db", "n1", "10.1.0.2")
        consul.put(KEY, "web.service.dc1.consul")
        with Serve(consul.url, workers=2) as serve:
            wait_for_answer(serve.port, "web.service.consul", "A", "10.1.0.1")
            wait_for_answer(serve.port, POINTER, "PTR", "web.service.dc1.consul.")
            processes = sorted(children_of(serve.pid))
            register(consul, "web", "n2", "10.1.0.3", nested(1_000))
            register(consul, "evil", "n1", "10.1.0.4", nested(1_000))
            consul.put("/v1/kv/consuldns/k8s/east/svc/default/evil", nested(1_100))
            consul.put("/v1/kv/consuldns/k8s/east/meta", "[" * 100_000)
            consul.client.put(KEY, content=b"\xff\xfe").raise_for_status()
            wait_for_answer(serve.port, "evil.service.consul", "A", "SERVFAIL")
            assert extended_errors(ask(serve.port, "evil.service.consul")) == [23]
            wait_until(
                lambda: extended_errors(ask(serve.port, POINTER, "PTR")) == [3],
                "the pointer to be kept, and marked",
            )
            wait_until(
                lambda: all(
                    any(each in line for line in serve.lines)
                    for each in ("'web-n2'", "'evil-n1'", "svc/default/evil", "10.254.70.176'")
                ),
                "each record to be named",
            )
            assert answers(ask(serve.port, POINTER, "PTR")) == {"web.service.dc1.consul."}
            assert answers(ask(serve.port, "web.service.consul")) == {"10.1.0.1"}
            # While control is busy, what may have changed is answered as it was, and marked so.
            wait_until(
                lambda: extended_errors(ask(serve.port, "web.service.consul")) == [],
                "no mark on the service with one bad instance",
            )
            assert answers(ask(serve.port, "db.service.consul")) == {"10.1.0.2"}
            assert rcode(ask(serve.port, "nope.service.consul")) == "NXDOMAIN"
            assert serve.metric("consuldns_consul_records_skipped_total") >= 4
            assert serve.metric("consuldns_worker_restarts_total") == 0
            deregister(consul, "web", "n2")
            deregister(consul, "evil", "n1")
            consul.put(KEY, "db.service.dc1.consul")
            consul.client.delete("/v1/kv/consuldns?recurse").raise_for_status()
            wait_for_answer(serve.port, POINTER, "PTR", "db.service.dc1.consul.")
            wait_for_answer(serve.port, "evil.service.consul", "A", "NXDOMAIN")
            wait_until(lambda: serve.metric("consuldns_views_kept") == 0, "nothing to be kept")
            assert extended_errors(ask(serve.port, POINTER, "PTR")) == []
            assert sorted(children_of(serve.pid)) == processes
            assert "Traceback" not in serve.log


def test_rights_that_are_lost_are_told_and_nothing_is_denied() -> None:
    acl = {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"master": ADMIN, "agent": ADMIN},
    }
    agent = ConsulAgent(config={"acl": acl, "primary_datacenter": "dc1"})
    agent.client.headers["X-Consul-Token"] = ADMIN
    catalog = 'service_prefix "" { policy = "read" } '
    nodes, keys = 'node_prefix "" { policy = "read" } ', 'key_prefix "" { policy = "read" } '
    with agent as consul:
        consul.put("/v1/acl/policy", {"Name": "dns", "Rules": catalog + nodes + keys})
        made = consul.client.put("/v1/acl/token", json={"Policies": [{"Name": "dns"}]}).json()
        policies = consul.client.get("/v1/acl/policies").json()
        policy = next(each["ID"] for each in policies if each["Name"] == "dns")

        def allow(rules: str) -> None:
            path = f"/v1/acl/policy/{policy}"
            consul.put(path, {"ID": policy, "Name": "dns", "Rules": rules})

        for number in range(1, 4):
            register(consul, "web", f"n{number}", f"10.1.0.{number}")
        consul.put(KEY, "web.service.dc1.consul")
        config = f'[consul]\ntoken = "{made["SecretID"]}"\n'
        with Serve(consul.url, config=config) as serve:
            three = {"10.1.0.1", "10.1.0.2", "10.1.0.3"}
            wait_until(lambda: answers(ask(serve.port, "web.service.consul")) == three, "three")
            wait_for_answer(serve.port, POINTER, "PTR", "web.service.dc1.consul.")
            allow(catalog)
            deregister(consul, "web", "n3")  # wakes the queries, which see nothing now
            register(consul, "late", "n9", "10.1.0.8")
            consul.put("/v1/kv/other", "1")
            asked = (("web.service.consul", "A"), (POINTER, "PTR"), ("n1.node.consul", "A"))
            for name, type_ in asked:
                wait_for_mark(serve, name, type_)
            # Longer than a loss is held before it is believed when nothing speaks against it.
            looks = authorizations(serve)
            wait_until(lambda: authorizations(serve) >= looks + 5, "five more looks")
            for name, type_ in asked:
                reply = ask(serve.port, name, type_)
                assert answers(reply), name
                assert extended_errors(reply) == [3], name
            assert answers(ask(serve.port, "web.service.consul")) == three
            assert serve.metric("consuldns_views_held") >= 1
            assert serve.metric("consuldns_views_kept") >= 3
            allow(catalog + nodes + keys)
            consul.put("/v1/kv/other", "2")
            register(consul, "other", "n1", "10.1.0.9")
            two = three - {"10.1.0.3"}
            wait_until(lambda: answers(ask(serve.port, "web.service.consul")) == two, "two", 60)
            wait_until(lambda: serve.metric("consuldns_views_kept") == 0, "nothing kept", 60)
            assert serve.metric("consuldns_consul_losses_accepted_total") == 0


def wait_for_mark(serve: Serve, name: str, type_: str) -> None:
    wait_until(lambda: bool(extended_errors(ask(serve.port, name, type_))), f"{name} to be marked")


def authorizations(serve: Serve) -> float:
    text = serve.admin("/metrics").text.splitlines()
    lines = (line for line in text if "internal/acl" in line and not line.startswith("#"))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
