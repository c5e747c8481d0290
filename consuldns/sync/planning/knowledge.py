"""What is known of the cluster, kind by kind, and what of a plan may be done with it.

A kind may be withheld from us: the account has no right to list it, in one namespace or in all, or
the API server does not have it. What follows from the other kinds is done; nothing is removed, and
no name is given, that depends on one which is not known. What was known before a right was taken
away counts for what exists, and not as proof that something is gone.

    services        whatever is not among them is gone
    endpointslices  instances of headless services, of endpoints and NodePort; state of cluster IPs
    nodes           instances of NodePort; that an address of an endpoint is not that of a node
    pods            that an address of an endpoint is that of a pod (`reverse_verify_pods`)
    ingresses       whether a service has the addresses of Ingresses (`ingress`)
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from consuldns import descriptor, reverse_layout
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import PASSING, SetCheck, SetInstance, SetKey
from consuldns.descriptor import EndpointsKey
from consuldns.names import parse_address
from consuldns.sync.desired import annotations, ingresses, registrations
from consuldns.sync.existing.contents import Existing
from consuldns.sync.kubernetes.objects import (
    ENDPOINT_SLICES,
    INGRESSES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ResourceKind,
    Service,
    ServiceKey,
)
from consuldns.sync.kubernetes.reflector import AnyReflector
from consuldns.sync.planning.plan import Plan, Step
from consuldns.sync.selection import Selection

AnyKind = ResourceKind[Any]
OF_ENDPOINTS = (ENDPOINT_SLICES, PODS)
PLACED = {k.name for k in (SERVICES, ENDPOINT_SLICES, NODES, NAMESPACES, PODS, INGRESSES)}
INDEPENDENT = ("vip", "load-balancer", "external-ips", "name")  # the service alone decides


@dataclass(frozen=True)
class Knowledge:
    """The kinds that are not known, each with its namespace, empty for all of them."""

    missing: frozenset[tuple[str, str]] = frozenset()
    any_services: bool = True

    def knows(self, kind: AnyKind, namespace: str) -> bool:
        """Whether all objects of a kind in a namespace are known."""
        return not any(name == kind.name and of in ("", namespace) for name, of in self.missing)

    def knows_everywhere(self, *kinds: AnyKind) -> bool:
        """The same of several kinds, in all namespaces that are synced."""
        return not any(name == kind.name for name, _ in self.missing for kind in kinds)

    def knows_others(self, namespace: str) -> bool:
        """The same of kinds that nothing is said about here: all may depend on them."""
        return not any(n not in PLACED and of in ("", namespace) for n, of in self.missing)


def survey(reflectors: Iterable[AnyReflector], since: float) -> Knowledge:
    """What is known: what has been listed since a monotonic time, and is not withheld now."""
    asked = list(reflectors)
    missing = {(r.kind.name, r.namespace) for r in asked if r.withheld or r.listed_at < since}
    services = {(r.kind.name, r.namespace) for r in asked if r.kind == SERVICES}
    return Knowledge(frozenset(missing), not services or bool(services - missing))


def needed(service: Service, settings: SyncSettings) -> tuple[AnyKind, ...]:
    """The kinds, beside services, that decide which instances a service has."""
    overrides = annotations.read(service.metadata.annotations)
    mode = registrations.mode_of(service, overrides, settings)
    exposed = ingresses.may_expose(service, settings.ingress) and not overrides.mode
    more: tuple[AnyKind, ...] = (INGRESSES,) if exposed else ()
    if mode in INDEPENDENT:
        return more
    return (
        (*OF_ENDPOINTS, *more) if mode in ("endpoints", "both") else (*OF_ENDPOINTS, NODES, *more)
    )


@dataclass(frozen=True)
class Limits:
    """Takes out of plans what is not known well enough."""

    knowledge: Knowledge
    selection: Selection
    settings: SyncSettings
    record_key: str  # the key that says that a cluster is synced

    def apply(self, plan: Plan, existing: Existing) -> list[Step]:
        """Leave in the plan what may be done; the removals that have to wait."""
        if not self.knowledge.missing:
            return []
        additions = (self._addition(step, existing) for step in plan.additions)
        plan.additions = [step for step in additions if step is not None]
        plan.reverse = [step for step in plan.reverse if self._may_point(step)]
        self._explain(plan)
        removals, plan.removals = plan.removals, []
        waiting: list[Step] = []
        for step in removals:
            (plan.removals if self._may_remove(step) else waiting).append(step)
        kinds = ", ".join(sorted({name for name, _ in self.knowledge.missing}))
        return [replace(step, waits_for=f"{kinds} cannot be listed") for step in waiting]

    def _explain(self, plan: Plan) -> None:
        """Say of services that they wait, in place of what seems to be wrong with them."""
        for key in list(plan.problems):
            service = self.selection.services.get(key) if key is not None else None
            if key is None or service is None:
                continue
            kinds = [
                kind.name
                for kind in needed(service, self.settings)
                if not self.knowledge.knows(kind, key[0])
            ]
            if kinds:
                plan.problems[key] = tuple(annotations.read(service.metadata.annotations).problems)
            if kinds and key in plan.absent:
                plan.absent[key] = f"waiting for {' and '.join(kinds)}"

    def _addition(self, step: Step, existing: Existing) -> Step | None:
        """The step as it may be done.

        Without endpoints nobody knows that none is ready. Without Ingresses, what a service has
        stays as it is.
        """
        operation, key = step.operation, step.service
        if key is None:
            is_record = isinstance(operation, SetKey) and operation.key.path == self.record_key
            return None if is_record and not self.knowledge.any_services else step
        if isinstance(operation, SetKey) and _is_of_endpoints(operation.key.path):
            return step if self._knows_all(OF_ENDPOINTS, key[0]) else None
        there = existing.instances.get(key, {})
        if isinstance(operation, SetInstance | SetCheck) and operation.instance.id not in there:
            service = self.selection.services.get(key)
            is_exposed = service is not None and INGRESSES in needed(service, self.settings)
            if there and is_exposed and not self.knowledge.knows(INGRESSES, key[0]):
                return None
        if (
            not isinstance(operation, SetCheck)
            or operation.instance.status == PASSING
            or self.knowledge.knows(ENDPOINT_SLICES, key[0])
            or self.selection.cache.slices(key)
        ):
            return step
        if operation.instance.id in there:
            return None
        instance = structs.replace(
            operation.instance, status=PASSING, output="endpoints are not known"
        )
        return replace(step, operation=SetCheck(operation.node, instance))

    def _may_point(self, step: Step) -> bool:
        """Whether an address may get a reverse name: its own, or one that is no node's."""
        operation, key = step.operation, step.service
        assert isinstance(operation, SetKey)
        service = self.selection.services.get(key) if key is not None else None
        address = reverse_layout.address_in(operation.key.path)
        if service is None or _is_cluster_ip(service, address):
            return True
        vips = {each.ip for each in service.status.load_balancer.ingress or ()}
        if self.settings.reverse_verify_pods and address not in vips:
            return self.knowledge.knows_everywhere(PODS)  # pods on a node's address have none
        return self.knowledge.knows(NODES, "")

    def _may_remove(self, step: Step) -> bool:
        """Whether what is known proves that something is to go."""
        path, key, knowledge = getattr(step.operation, "path", ""), step.service, self.knowledge
        if key is None:
            # Whose it was is not known: it may be that of any service or endpoint.
            return (
                reverse_layout.is_key(path)
                and knowledge.knows_everywhere(SERVICES, *OF_ENDPOINTS)
                and all(name in PLACED for name, _ in knowledge.missing)
            )
        namespace = key[0]
        service = self.selection.services.get(key)
        if not knowledge.knows_others(namespace):
            return False
        if service is None:
            return knowledge.knows(SERVICES, namespace)
        if reverse_layout.is_key(path) and _is_cluster_ip(service, reverse_layout.address_in(path)):
            return True
        is_of_endpoints = reverse_layout.is_key(path) or _is_of_endpoints(path)
        kinds = OF_ENDPOINTS if is_of_endpoints else needed(service, self.settings)
        return self._knows_all(kinds, namespace)

    def _knows_all(self, kinds: Iterable[AnyKind], namespace: str) -> bool:
        return all(self.knowledge.knows(kind, namespace) for kind in kinds)


def unknown_owners(existing: Existing, knowledge: Knowledge) -> set[ServiceKey]:
    """Services that Consul has names or instances of, and of which we cannot know."""
    owners = {*existing.instances, *existing.names.values()}
    return {key for key in owners if not knowledge.knows(SERVICES, key[0])}


def _is_of_endpoints(path: str) -> bool:
    """Whether a key describes endpoints."""
    return isinstance(descriptor.parse_path(path), EndpointsKey)


def _is_cluster_ip(service: Service, address: str) -> bool:
    return parse_address(address) in {parse_address(each) for each in service.cluster_ips}
