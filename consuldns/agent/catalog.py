"""The catalog: nodes, the services on them, their checks.

Names and ids are found in any case, as in Consul. Topics: `nodes`, `services` (all of them),
`checks`; `("node", n)`, `("service", s)` for the instances of s, `("health", s)` for these and
their checks, `("connect", s)` and `("ingress", s)` for the proxies and gateways of s.
"""

from collections.abc import Iterable

import msgspec

from consuldns.agent.gateways import INGRESS, TERMINATING, Gateways
from consuldns.agent.records import (
    CRITICAL,
    Body,
    Check,
    Node,
    Refused,
    Service,
    Weights,
    stamped,
)
from consuldns.agent.tables import Database, Table, Topic
from consuldns.names import MAX_WEIGHT

NODES: Topic = ("nodes",)
SERVICES: Topic = ("services",)
CHECKS: Topic = ("checks",)


Key = tuple[str, str]
"""The folded name of a node, and the folded id of a service or check on it."""


class Registration(Body, frozen=True, kw_only=True):
    """The body of `/v1/catalog/register`."""

    id: str = ""
    node: str = ""
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    node_meta: dict[str, str] | None = None
    service: Service | None = None
    check: Check | None = None
    checks: list[Check] | None = None
    skip_node_update: bool = False


class Deregistration(Body, frozen=True, kw_only=True):
    """The body of `/v1/catalog/deregister`."""

    node: str = ""
    datacenter: str = ""
    service_id: str = ""
    check_id: str = ""


class Instance(msgspec.Struct, frozen=True):
    """An instance with the node that it is on and the checks that count for it."""

    node: Node
    service: Service
    checks: list[Check]


class Catalog:
    """Nodes, services and checks."""

    def __init__(self, database: Database, gateways: Gateways, datacenter: str) -> None:
        self._database = database
        self._gateways = gateways
        self._datacenter = datacenter
        self._nodes: Table[str, Node] = database.table()
        self._services: Table[Key, Service] = database.table()
        self._checks: Table[Key, Check] = database.table()
        self._named: Table[str, frozenset[Key]] = database.table()  # services by folded name
        self._on: Table[str, frozenset[str]] = database.table()  # ids of services by node
        self._checks_on: Table[str, frozenset[str]] = database.table()  # ids of checks by node

    # --- reading ---

    def nodes(self) -> list[Node]:
        """All nodes, in the order of their names."""
        return sorted(self._nodes.values(), key=lambda node: node.node.lower())

    def node(self, name: str) -> Node | None:
        """A node by name."""
        return self._nodes.get(name.lower())

    def services_on(self, node: str) -> list[Service]:
        """The services of a node, in the order of their ids."""
        ids = sorted(self._on.get(node.lower()) or ())
        return [self._services_at((node.lower(), each)) for each in ids]

    def service(self, node: str, service_id: str) -> Service | None:
        """A service of a node."""
        return self._services.get((node.lower(), service_id.lower()))

    def checks(self) -> list[Check]:
        """All checks, in the order of nodes and ids."""
        return [check for _, check in sorted(self._checks.items())]

    def checks_on(self, node: str) -> list[Check]:
        """The checks of a node and of the services on it, in the order of their ids."""
        ids = sorted(self._checks_on.get(node.lower()) or ())
        found = (self._checks.get((node.lower(), each)) for each in ids)
        return [check for check in found if check is not None]

    def check(self, node: str, check_id: str) -> Check | None:
        """A check of a node."""
        return self._checks.get((node.lower(), check_id.lower()))

    def service_instances(self) -> list[tuple[Node, Service]]:
        """All services with their nodes."""
        return [(self._node_at(node), service) for (node, _), service in self._services.items()]

    def instances(self, name: str) -> list[Instance]:
        """The instances of a service."""
        return self._instances(self._named.get(name.lower()) or ())

    def connect_instances(self, name: str) -> list[Instance]:
        """What takes Connect traffic for a service: proxies, native instances, gateways."""
        gateways = self._gateways.of(TERMINATING, name)
        return self._instances(
            key
            for key, service in self._services.items()
            if _connect_name(service) == name.lower()
            or (service.kind == TERMINATING and service.service.lower() in gateways)
        )

    def ingress_instances(self, name: str) -> list[Instance]:
        """The instances of the ingress gateways that expose a service."""
        gateways = self._gateways.of(INGRESS, name)
        return self._instances(
            key
            for key, service in self._services.items()
            if service.kind == INGRESS and service.service.lower() in gateways
        )

    def _instances(self, keys: Iterable[Key]) -> list[Instance]:
        return [
            Instance(self._node_at(node), self._services_at((node, id_)), self._counting(node, id_))
            for node, id_ in sorted(keys)
        ]

    def _counting(self, node: str, service_id: str) -> list[Check]:
        """The checks of the node first, then those of the service."""
        checks = self.checks_on(node)
        of_node = [check for check in checks if not check.service_id]
        return of_node + [check for check in checks if check.service_id.lower() == service_id]

    def _node_at(self, node: str) -> Node:
        found = self._nodes.get(node)
        assert found is not None, f"a service on the missing node {node}"
        return found

    def _services_at(self, key: Key) -> Service:
        found = self._services.get(key)
        assert found is not None, f"no service at {key}"
        return found

    # --- writing ---

    def register(self, wanted: Registration) -> None:
        """Register a node, and with it a service and checks. Raises Refused."""
        if not wanted.node:
            raise Refused("Must provide node")
        if not wanted.address and not wanted.skip_node_update:
            raise Refused("Must provide address if SkipNodeUpdate is not set")
        checks = [*(wanted.checks or []), *([wanted.check] if wanted.check else [])]
        for check in checks:
            if check.node and check.node != wanted.node:
                raise Refused(f'check node "{check.node}" does not match node "{wanted.node}"')
        if not wanted.skip_node_update or self.node(wanted.node) is None:
            self.set_node(
                Node(
                    id=wanted.id,
                    node=wanted.node,
                    address=wanted.address,
                    tagged_addresses=wanted.tagged_addresses,
                    meta=wanted.node_meta,
                )
            )
        if wanted.service is not None:
            self.set_service(wanted.node, wanted.service)
        for check in checks:
            named = msgspec.structs.replace(check, node=wanted.node)
            try:
                self.set_check(named)
            except Refused as refused:
                where = f' on node "{wanted.node}"' if refused.text.startswith("Missing") else ""
                raise Refused(f"failed inserting check: {refused.text}{where}") from None

    def deregister(self, wanted: Deregistration) -> None:
        """Remove a service, a check, or else the whole node. Raises Refused without a node."""
        if not wanted.node:
            raise Refused("Must provide node")
        if wanted.service_id:
            self.remove_service(wanted.node, wanted.service_id)
        elif wanted.check_id:
            self.remove_check(wanted.node, wanted.check_id)
        else:
            self.remove_node(wanted.node)

    def set_node(self, node: Node) -> Node:
        """Insert or replace a node. Raises Refused."""
        if not node.node:
            raise Refused("Must provide node")
        old = self.node(node.node)
        node = msgspec.structs.replace(node, datacenter=self._datacenter)
        new = stamped(node, old, self._database.next_index)
        if new is not old:
            self._nodes.put(new.node.lower(), new)
            self._touch_node(new.node)
        return new

    def remove_node(self, name: str) -> None:
        """Remove a node with everything on it."""
        if self.node(name) is None:
            return
        for check in self.checks_on(name):
            self.remove_check(name, check.check_id)
        for service in self.services_on(name):
            self.remove_service(name, service.id)
        self._nodes.remove(name.lower())
        self._touch_node(name)

    def set_service(self, node: str, service: Service) -> Service:
        """Insert or replace a service of a node. Raises Refused."""
        refuse_incomplete(service, status=500)
        if not service.service:
            raise Refused("Must provide service name with ID")
        if self.node(node) is None:
            raise Refused("Missing node registration")
        weights = service.weights or Weights(1, 1)
        if not (0 < weights.passing <= MAX_WEIGHT and 0 <= weights.warning <= MAX_WEIGHT):
            weights = Weights(1, 1)
        id_ = service.id or service.service
        old = self.service(node, id_)
        service = msgspec.structs.replace(service, id=id_, weights=weights)
        new = stamped(service, old, self._database.next_index)
        if new is not old:
            if old is not None:
                self._unlink_service(node, old)
            self._services.put((node.lower(), id_.lower()), new)
            self._link_service(node, new)
        return new

    def remove_service(self, node: str, service_id: str) -> None:
        """Remove a service with its checks, if it is there."""
        service = self.service(node, service_id)
        if service is None:
            return
        for check in self.checks_on(node):
            if check.service_id.lower() == service_id.lower():
                self.remove_check(node, check.check_id)
        self._unlink_service(node, service)
        self._services.remove((node.lower(), service_id.lower()))

    def _link_service(self, node: str, service: Service) -> None:
        id_, name = service.id.lower(), service.service.lower()
        self._on.put(node.lower(), (self._on.get(node.lower()) or frozenset()) | {id_})
        named = self._named.get(name) or frozenset()
        self._named.put(name, named | {(node.lower(), id_)})
        self._touch_service(node, service)

    def _unlink_service(self, node: str, service: Service) -> None:
        id_, name = service.id.lower(), service.service.lower()
        self._on.put(node.lower(), (self._on.get(node.lower()) or frozenset()) - {id_})
        named = (self._named.get(name) or frozenset()) - {(node.lower(), id_)}
        self._named.put(name, named) if named else self._named.remove(name)
        self._touch_service(node, service)

    def set_check(self, check: Check) -> Check:
        """Insert or replace a check. Raises Refused."""
        if self.node(check.node) is None:
            raise Refused("Missing node registration")
        check_id = check.check_id or check.name
        if not check_id:
            raise Refused("object missing primary index")
        service_name, service_tags = "", None
        if check.service_id:
            service = self.service(check.node, check.service_id)
            if service is None:
                raise Refused("Missing service registration")
            service_name, service_tags = service.service, service.tags
        old = self.check(check.node, check_id)
        check = msgspec.structs.replace(
            check,
            check_id=check_id,
            status=check.status or CRITICAL,
            service_name=service_name,
            service_tags=service_tags,
        )
        new = stamped(check, old, self._database.next_index)
        if new is not old:
            if old is not None and old.service_id != new.service_id:
                self._touch_check(old)
            key = (new.node.lower(), check_id.lower())
            ids = self._checks_on.get(key[0]) or frozenset()
            self._checks.put(key, new)
            self._checks_on.put(key[0], ids | {key[1]})
            self._touch_check(new)
        return new

    def remove_check(self, node: str, check_id: str) -> None:
        """Remove a check, if it is there."""
        check = self.check(node, check_id)
        if check is None:
            return
        key = (node.lower(), check_id.lower())
        self._checks.remove(key)
        self._checks_on.put(key[0], (self._checks_on.get(key[0]) or frozenset()) - {key[1]})
        self._touch_check(check)

    # --- who is to see a change ---

    def _touch_node(self, name: str) -> None:
        self._database.touch(NODES, ("node", name.lower()))
        for service in self.services_on(name):
            self._database.touch(("service", service.service.lower()))
            self._touch_health(service)

    def _touch_service(self, node: str, service: Service) -> None:
        name = service.service.lower()
        self._database.touch(SERVICES, ("node", node.lower()), ("service", name))
        self._touch_health(service)

    def _touch_check(self, check: Check) -> None:
        self._database.touch(CHECKS)
        if check.service_id:
            service = self.service(check.node, check.service_id)
            seen_in = [service] if service is not None else []
        else:
            seen_in = self.services_on(check.node)
        for service in seen_in:
            self._touch_health(service)

    def _touch_health(self, service: Service) -> None:
        name = service.service.lower()
        self._database.touch(("health", name))
        connect = _connect_name(service)
        if connect:
            self._database.touch(("connect", connect))
        if service.kind == INGRESS:
            behind = self._gateways.behind(INGRESS, name)
            self._database.touch(*(("ingress", each) for each in behind))
        elif service.kind == TERMINATING:
            behind = self._gateways.behind(TERMINATING, name)
            self._database.touch(*(("connect", each) for each in behind))


def refuse_incomplete(service: Service, status: int) -> None:
    """Raises Refused for a proxy or gateway that nobody could talk to."""
    problems = []
    if service.kind == "connect-proxy":
        if not _destination(service):
            what = "Proxy.DestinationServiceName must be non-empty"
            problems.append(f"{what} for Connect proxy services")
        if not service.port:
            problems.append("Port must be set for a Connect proxy")
    if service.kind in (TERMINATING, "mesh-gateway") and not service.port:
        problems.append(f"Port must be non-zero for a {service.kind}")
    if problems:
        count = f"{len(problems)} error{'s' if len(problems) > 1 else ''} occurred:"
        raise Refused("".join((count, *(f"\n\t* {each}" for each in problems), "\n\n")), status)


def _destination(service: Service) -> str:
    return str((service.proxy or {}).get("DestinationServiceName", ""))


def _connect_name(service: Service) -> str:
    """The folded name of the service that this instance takes Connect traffic for, or ""."""
    if service.kind == "connect-proxy":
        return _destination(service).lower()
    native = (service.connect or {}).get("Native", False)
    return service.service.lower() if native else ""
