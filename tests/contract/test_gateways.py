"""Connect: proxies, native services, gateways and their config entries."""

from tests.contract.subject import INDEXES, JSON, Subject


def proxy(name: str, **fields: JSON) -> JSON:
    kind = {"Kind": "connect-proxy", "Proxy": {"DestinationServiceName": name}}
    return {"Service": f"{name}-proxy", "Port": 20000} | kind | fields


def ids(consul: Subject, path: str) -> list[str]:
    return [each["Service"]["ID"] for each in consul.json(path)]


def test_connect_finds_proxies_and_native_instances(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    consul.register(node, Service={"ID": "plain", "Service": name})
    consul.register(node, Service=proxy(name))
    native = {"ID": "native", "Service": name, "Connect": {"Native": True}}
    consul.register(node, Service=native)
    assert ids(consul, f"/v1/health/connect/{name}") == ["native", f"{name}-proxy"]
    assert ids(consul, f"/v1/health/connect/{name.upper()}") == ["native", f"{name}-proxy"]
    assert ids(consul, f"/v1/health/connect/{name}-proxy") == []
    assert ids(consul, f"/v1/health/service/{name}") == ["native", "plain"]
    found = consul.json(f"/v1/health/connect/{name}")[1]["Service"]
    assert found["Kind"] == "connect-proxy"
    assert found["Proxy"] == {
        "DestinationServiceName": name,
        "MeshGateway": {},
        "Expose": {},
    }
    catalog = consul.json(f"/v1/catalog/connect/{name}")
    assert [each["ServiceID"] for each in catalog] == ["native", f"{name}-proxy"]
    assert catalog[0]["ServiceConnect"] == {"Native": True}


def test_connect_filters_by_health(consul: Subject) -> None:
    node, name = consul.name("node"), consul.name("svc")
    check = {"Name": "c", "ServiceID": f"{name}-proxy", "Status": "critical"}
    consul.register(node, Service=proxy(name), Check=check)
    assert ids(consul, f"/v1/health/connect/{name}") == [f"{name}-proxy"]
    assert ids(consul, f"/v1/health/connect/{name}?passing") == []


def test_ingress_gateways_expose_the_services_of_their_config_entry(consul: Subject) -> None:
    node, name, gateway = consul.name("node"), consul.name("svc"), consul.name("gw")
    listener = {"Port": 8080, "Protocol": "tcp", "Services": [{"Name": name}]}
    entry = {"Kind": "ingress-gateway", "Name": gateway, "Listeners": [listener]}
    assert consul.does("/v1/config", entry)
    assert consul.json(f"/v1/health/ingress/{name}") == []
    consul.register(node, Service={"Service": gateway, "Kind": "ingress-gateway", "Port": 8888})
    found = consul.json(f"/v1/health/ingress/{name}")
    assert [each["Service"]["Port"] for each in found] == [8888]
    assert consul.json(f"/v1/health/ingress/{gateway}") == []
    assert (
        consul.get(f"/v1/config/ingress-gateway/{gateway}").json()["Listeners"][0]["Port"] == 8080
    )
    assert consul.delete(f"/v1/config/ingress-gateway/{gateway}").json() == {}
    assert consul.json(f"/v1/health/ingress/{name}") == []


def test_terminating_gateways_stand_for_the_services_of_their_config_entry(
    consul: Subject,
) -> None:
    node, name, gateway = consul.name("node"), consul.name("svc"), consul.name("gw")
    entry = {"Kind": "terminating-gateway", "Name": gateway, "Services": [{"Name": name}]}
    consul.register(node, Service={"Service": gateway, "Kind": "terminating-gateway", "Port": 1})
    assert consul.json(f"/v1/health/connect/{name}") == []
    assert consul.does("/v1/config", entry)
    assert ids(consul, f"/v1/health/connect/{name}") == [gateway]
    assert ids(consul, f"/v1/health/connect/{gateway}") == []
    assert consul.json(f"/v1/config/terminating-gateway/{gateway}") == entry | INDEXES


def test_config_entries_that_cannot_be_stored_or_found(consul: Subject) -> None:
    reply = consul.put("/v1/config", {"Kind": "bogus", "Name": "x"})
    text = "Bad request: Request decoding failed: invalid config entry kind: bogus"
    assert (reply.status_code, reply.text) == (400, text)
    reply = consul.put("/v1/config", {"Kind": "ingress-gateway"})
    text = "failed inserting config entry: object missing primary index"
    assert (reply.status_code, reply.text) == (500, text)
    wrong = {"Kind": "ingress-gateway", "Name": "x", "Listeners": "x"}
    bodies: list[JSON] = [wrong, []]
    for body in bodies:
        reply = consul.put("/v1/config", body)
        assert reply.status_code == 400
        assert reply.text.startswith("Bad request: Request decoding failed: ")
    reply = consul.get("/v1/config/bogus/none")
    assert (reply.status_code, reply.text) == (500, "invalid config entry kind: bogus")
    reply = consul.get("/v1/config/ingress-gateway/none")
    text = 'Config entry not found for "ingress-gateway" / "none"'
    assert (reply.status_code, reply.text) == (404, text)


def test_no_prepared_query_is_found(consul: Subject) -> None:
    reply = consul.get("/v1/query/none/execute")
    assert (reply.status_code, reply.text) == (404, "Query not found")
    assert consul.get("/v1/query/none/execute?dc=dc9").status_code == 500
