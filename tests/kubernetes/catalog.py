"""What Consul has, as the end-to-end tests compare it."""

import base64
from typing import Any

from tests.support.consul_agent import ConsulAgent


def services(consul: ConsulAgent) -> set[str]:
    """The names of all services but Consul's own."""
    return set(consul.client.get("/v1/catalog/services").json()) - {"consul"}


def addresses(consul: ConsulAgent, service: str) -> set[str]:
    """The addresses that a service is found at, as Consul's DNS would give them."""
    entries = consul.client.get(f"/v1/health/service/{service}").json()
    return {
        entry["Service"]["Address"]
        for entry in entries
        if all(check["Status"] != "critical" for check in entry["Checks"])
    }


def keys(consul: ConsulAgent, prefix: str = "") -> dict[str, str]:
    """The keys below a prefix, with their values."""
    reply = consul.client.get(f"/v1/kv/{prefix}", params={"recurse": ""})
    if reply.status_code == 404:
        return {}
    entries: list[dict[str, Any]] = reply.json()
    return {e["Key"]: base64.b64decode(e["Value"] or "").decode() for e in entries}


def raft_index(consul: ConsulAgent) -> int:
    """How many entries Consul's log has: what tells whether anything was written."""
    return int(consul.client.get("/v1/agent/self").json()["Stats"]["raft"]["last_log_index"])


def leader(consul: ConsulAgent, cluster: str = "kubernetes") -> str:
    """The session that holds a cluster's lock, empty if none does."""
    reply = consul.client.get(f"/v1/kv/consuldns/k8s/{cluster}/leader")
    return str(reply.json()[0].get("Session", "")) if reply.status_code == 200 else ""
