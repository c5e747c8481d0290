"""What CoreDNS answers for a cluster: a small model of its rules, the oracle of tests.

Made from the Kubernetes DNS specification 1.1.0 and from what CoreDNS's plugin `kubernetes` does,
not from the code here: names N6 to N16 of the acceptance list, as sets of records by name and type.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

CONTROLLER = "endpointslice-controller.k8s.io"
Key = tuple[str, str]
Records = dict[str, dict[str, set[str]]]


@dataclass
class Ready:
    """A ready endpoint, as one slice has it."""

    label: str
    address: str
    ports: list[tuple[str, str, int]]
    is_certain: bool  # the cluster's own controller says that it is a pod of the namespace


@dataclass
class CoreDNS:
    """Objects in order of their events: a later one of the same name replaces an earlier one."""

    objects: list[dict[str, Any]]
    zone: str
    pod_names: bool = False
    services: dict[Key, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[Key, list[Ready]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        slices: dict[Key, dict[str, Any]] = {}
        for each in self.objects:
            metadata = each["metadata"]
            key = (metadata["namespace"], metadata["name"])
            (slices if "endpoints" in each else self.services)[key] = each
        for (namespace, _), each in slices.items():
            labels = each["metadata"]["labels"]
            service = (namespace, labels["kubernetes.io/service-name"])
            is_managed = labels.get("endpointslice.kubernetes.io/managed-by") == CONTROLLER
            ports = [(p["name"], p.get("protocol", "TCP"), p["port"]) for p in each["ports"]]
            for endpoint in each["endpoints"]:
                if endpoint["conditions"].get("ready", True):
                    is_pod = endpoint.get("targetRef", {}).get("namespace") == namespace
                    for address in endpoint["addresses"]:
                        label = self._label(endpoint, address)
                        ready = Ready(label, address, ports, is_managed and is_pod)
                        self.endpoints[service].append(ready)

    def _label(self, endpoint: dict[str, Any], address: str) -> str:
        if endpoint.get("hostname"):
            return str(endpoint["hostname"])
        pod = endpoint.get("targetRef", {}).get("name", "")
        if self.pod_names and 0 < len(pod) <= 63:
            return str(pod)
        dashed = address.replace(".", "-").replace(":", "-")
        return f"{dashed}0" if dashed.endswith("-") else dashed

    def _name(self, key: Key) -> str:
        return f"{key[1]}.{key[0]}.svc.{self.zone}."

    def _cluster_ips(self, key: Key) -> list[str]:
        return [ip for ip in self.services[key]["spec"].get("clusterIPs", []) if ip != "None"]

    def _is_external(self, key: Key) -> bool:
        return "externalName" in self.services[key]["spec"]

    def names(self) -> Records:
        """Every name with records, and its records. Weights of SRV are not to be looked at."""
        found: Records = defaultdict(lambda: defaultdict(set))
        for key, service in self.services.items():
            name = self._name(key)
            if self._is_external(key):
                # An alias of itself is left out, as CoreDNS does for A and AAAA.
                found[name]["CNAME"] = {f"{service['spec']['externalName']}."} - {name}
                continue
            ips = self._cluster_ips(key)
            ports = [(p["name"], p["protocol"], p["port"]) for p in service["spec"]["ports"]]
            for address in ips:
                _add_address(found[name], address)
                _add_ports(found, name, name, ports)
            for ready in self.endpoints[key]:
                below = f"{ready.label}.{name}"
                _add_address(found[below], ready.address)
                found[below]["SRV"] |= {f"0 - {number} {below}" for _, _, number in ready.ports}
                if not ips:
                    _add_address(found[name], ready.address)
                    _add_ports(found, name, below, ready.ports)
        return found

    def absent(self) -> set[str]:
        """Names that do not exist, near to those that do."""
        found = {f"missing.x.svc.{self.zone}."}
        for key in self.services:
            name = self._name(key)
            labels = {ready.label for ready in self.endpoints[key]}
            if self._is_external(key):
                labels = set()
            else:
                found |= {f"_bogus._tcp.{name}"}
            near = {"host", "p-1", "p-2", "10-1-0-1", "10-1-0-2", "fd00-1--1", "nobody"}
            found |= {f"{label}.{name}" for label in near - labels}
        return found

    def addresses(self) -> set[str]:
        """All addresses of the cluster."""
        ready = {each.address for endpoints in self.endpoints.values() for each in endpoints}
        return ready | {ip for key in self.services for ip in self._cluster_ips(key)}

    def _owners(self, address: str) -> list[tuple[Key, Ready]]:
        return [
            (key, ready)
            for key in self.services
            if not self._is_external(key)
            for ready in self.endpoints[key]
            if ready.address == address
        ]

    def pointers(self, address: str) -> set[str]:
        """The names that an address points to."""
        fronts = {self._name(k) for k in self.services if address in self._cluster_ips(k)}
        return fronts or {f"{r.label}.{self._name(key)}" for key, r in self._owners(address)}

    def is_beyond_doubt(self, address: str) -> bool:
        """Whether it is a cluster IP, or a pod of the one namespace whose services lead to it."""
        if any(address in self._cluster_ips(key) for key in self.services):
            return True
        owners = self._owners(address)
        is_certain = any(ready.is_certain for _, ready in owners)
        return is_certain and len({key[0] for key, _ in owners}) == 1


def _add_address(records: dict[str, set[str]], address: str) -> None:
    records["AAAA" if ip_address(address).version == 6 else "A"].add(address)


def _add_ports(found: Records, name: str, target: str, ports: list[tuple[str, str, int]]) -> None:
    for port, protocol, number in ports:
        location = f"0 - {number} {target}"
        found[name]["SRV"].add(location)
        found[f"_{port}._{protocol.lower()}.{name}"]["SRV"].add(location)
