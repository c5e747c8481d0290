"""What this agent itself runs: services and checks registered through `/v1/agent`.

They go into the catalog on the agent's own node; here is only which of them are the agent's, and
when a TTL is up. Only TTL checks are run.
"""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import msgspec

from consuldns.agent.catalog import Catalog, refuse_incomplete
from consuldns.agent.records import (
    CRITICAL,
    STATUSES,
    Body,
    Check,
    Refused,
    Service,
    ServiceAddress,
    Weights,
    consul_name,
)
from consuldns.durations import parse_duration
from consuldns.names import MAX_WEIGHT, parse_address

NODE_MAINTENANCE = "_node_maintenance"
SERVICE_MAINTENANCE = "_service_maintenance:"


class CheckDefinition(msgspec.Struct, frozen=True, rename=consul_name, kw_only=True):
    """A check as it is given to an agent.

    Of the kinds of checks that Consul knows only TTL checks are run; the fields after `ttl` are
    here to tell the others from no check at all.
    """

    id: str = ""
    check_id: str = ""
    name: str = ""
    service_id: str = ""
    status: str = ""
    notes: str = ""
    ttl: str = ""
    http: str = ""
    tcp: str = ""
    grpc: str = ""
    args: list[str] | None = None
    interval: str = ""
    alias_node: str = ""
    alias_service: str = ""


class ServiceDefinition(Body, frozen=True, kw_only=True):
    """A service as it is given to an agent."""

    kind: str = ""
    id: str = ""
    name: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] | None = None
    meta: dict[str, str] | None = None
    port: int = 0
    check: CheckDefinition | None = None
    checks: list[CheckDefinition] | None = None
    weights: Weights | None = None
    enable_tag_override: bool = False
    proxy: dict[str, Any] | None = None
    connect: dict[str, Any] | None = None


class LocalServices:
    """The agent's own services and checks, on its node `node`."""

    def __init__(self, catalog: Catalog, node: str, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._node = node
        self._clock = clock
        self._services: set[str] = set()
        self._checks: set[str] = set()
        self._ttls: dict[str, float] = {}
        self._deadlines: dict[str, float] = {}

    def services(self) -> list[Service]:
        """The agent's services."""
        return [each for each in self._catalog.services_on(self._node) if each.id in self._services]

    def service(self, id_: str) -> Service | None:
        """One of the agent's services."""
        return self._catalog.service(self._node, id_) if id_ in self._services else None

    def checks(self) -> list[Check]:
        """The agent's checks."""
        on_node = self._catalog.checks_on(self._node)
        return [each for each in on_node if each.check_id in self._checks]

    def register_service(self, wanted: ServiceDefinition) -> None:
        """Insert or replace a service, and its checks. Raises Refused."""
        if not wanted.name:
            raise Refused("Missing service name", 400)
        definitions = [*(wanted.checks or [])]
        if wanted.check not in (None, CheckDefinition()):
            definitions.insert(0, wanted.check)
        for definition in definitions:
            _validate(definition)
        id_ = wanted.id or wanted.name
        service = Service(
            kind=wanted.kind,
            id=id_,
            service=wanted.name,
            tags=wanted.tags,
            address=wanted.address,
            tagged_addresses=_tagged(wanted),
            meta=wanted.meta or None,
            port=wanted.port,
            weights=wanted.weights,
            enable_tag_override=wanted.enable_tag_override,
            proxy=wanted.proxy,
            connect=wanted.connect,
        )
        refuse_incomplete(service, status=400)
        _refuse_weights(wanted.weights)
        self._catalog.set_service(self._node, service)
        self._services.add(id_)
        for number, definition in enumerate(definitions, 1):
            suffix = f":{number}" if len(definitions) > 1 else ""
            self._add_check(
                definition,
                default_id=f"service:{id_}{suffix}",
                name=definition.name or f"Service '{wanted.name}' check",
                service_id=id_,
            )

    def deregister_service(self, id_: str) -> None:
        """Remove a service of the agent with its checks, if there is one."""
        if id_ not in self._services:
            return
        for check in self.checks():
            if check.service_id == id_:
                self.deregister_check(check.check_id)
        self._services.discard(id_)
        self._catalog.remove_service(self._node, id_)

    def register_check(self, wanted: CheckDefinition) -> None:
        """Insert or replace a check of the node or of a service. Raises Refused."""
        if not wanted.name:
            raise Refused("Missing check name", 400)
        if wanted.status and wanted.status not in STATUSES:
            raise Refused("Bad check status", 400)
        _validate(wanted)
        if wanted.service_id and wanted.service_id not in self._services:
            raise Refused(f'ServiceID "{wanted.service_id}" does not exist')
        self._add_check(
            wanted, default_id=wanted.name, name=wanted.name, service_id=wanted.service_id
        )

    def deregister_check(self, id_: str) -> None:
        """Remove a check of the agent, if there is one."""
        if id_ in self._checks:
            self._forget_check(id_)
            self._catalog.remove_check(self._node, id_)

    def update_check(self, id_: str, status: str, output: str) -> None:
        """What the application says of its TTL check; the TTL begins anew. Raises Refused."""
        check = self._catalog.check(self._node, id_)
        if check is None or id_ not in self._ttls:
            raise Refused(f'CheckID "{id_}" does not have associated TTL')
        self._deadlines[id_] = self._clock() + self._ttls[id_]
        self._catalog.set_check(msgspec.structs.replace(check, status=status, output=output))

    def set_maintenance(self, service_id: str, *, enable: bool, reason: str) -> None:
        """Put the node (service id "") or a service in or out of maintenance mode."""
        if service_id and service_id not in self._services:
            raise Refused(f'No service registered with ID "{service_id}"', 404)
        id_ = SERVICE_MAINTENANCE + service_id if service_id else NODE_MAINTENANCE
        if not enable:
            self.deregister_check(id_)
            return
        what = "service" if service_id else "node"
        default = (
            f"Maintenance mode is enabled for this {what}, "
            "but no reason was provided. This is a default message."
        )
        check = Check(
            node=self._node,
            check_id=id_,
            name=f"{what.capitalize()} Maintenance Mode",
            status=CRITICAL,
            notes=reason or default,
            service_id=service_id,
            type="maintenance",
        )
        self._catalog.set_check(check)
        self._checks.add(id_)

    def expire_checks(self) -> None:
        """Checks that nobody has updated within their TTL become critical."""
        now = self._clock()
        for id_ in [id_ for id_, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[id_]
            check = self._catalog.check(self._node, id_)
            if check is not None:
                last = f" (last output before timeout follows): {check.output}"
                output = "TTL expired" + (last if check.output else "")
                self._catalog.set_check(
                    msgspec.structs.replace(check, status=CRITICAL, output=output)
                )

    def next_deadline(self) -> float | None:
        """When the next check expires unless it is updated."""
        return min(self._deadlines.values(), default=None)

    def _add_check(
        self, wanted: CheckDefinition, *, default_id: str, name: str, service_id: str
    ) -> None:
        id_ = wanted.check_id or wanted.id or default_id
        known = self._catalog.check(self._node, id_) if id_ in self._checks else None
        status = known.status if known is not None else wanted.status or CRITICAL
        check = Check(
            node=self._node,
            check_id=id_,
            name=name,
            status=status,
            notes=wanted.notes,
            output=known.output if known is not None else "",
            service_id=service_id,
            type="ttl",
        )
        self._catalog.set_check(check)
        self._checks.add(id_)
        self._ttls[id_] = parse_duration(wanted.ttl)
        self._deadlines[id_] = self._clock() + self._ttls[id_]

    def _forget_check(self, id_: str) -> None:
        self._checks.discard(id_)
        self._ttls.pop(id_, None)
        self._deadlines.pop(id_, None)


def _validate(definition: CheckDefinition) -> None:
    try:
        seconds = parse_duration(definition.ttl or "0")
    except ValueError as error:
        raise Refused(f"Request decode failed: {error}", 400) from None
    if seconds <= 0:
        # Consul runs scripts and asks HTTP, TCP and gRPC as well; accepting such a check and never
        # running it would be worse than refusing it.
        raise Refused("Invalid check: TTL must be > 0 for TTL checks (no others run here)", 400)


def _refuse_weights(weights: Weights | None) -> None:
    if weights is not None and weights.passing < 1:
        raise Refused("Invalid Weights: Passing must be greater than 0", 400)
    if weights is not None and max(weights.passing, weights.warning) > MAX_WEIGHT:
        raise Refused("Invalid Weights: DNS Weight must be between 0 and 65535", 400)


def _tagged(wanted: ServiceDefinition) -> dict[str, ServiceAddress] | None:
    """The tagged addresses; an agent adds those of the address's family."""
    address = parse_address(wanted.address)
    if address is None:
        return wanted.tagged_addresses
    family = "ipv4" if isinstance(address, IPv4Address) else "ipv6"
    own = ServiceAddress(wanted.address, wanted.port)
    return {f"lan_{family}": own, f"wan_{family}": own} | (wanted.tagged_addresses or {})
