"""The instances of one service in Consul's catalog: one for each registration.

Metadata say what an instance is, in keys of consul-k8s and of our own. Consul takes 64 pairs and
refuses an instance with more. What nested names need comes first, then what the owner of the
service wants, then what is there for those who know consul-k8s only.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from consuldns import descriptor
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import Instance
from consuldns.descriptor import Port
from consuldns.sync.desired import addresses, registrations
from consuldns.sync.desired.registrations import Registration, ServiceContext
from consuldns.sync.kubernetes.objects import Node
from consuldns.sync.ownership import Identity

MAX_ID = 200  # characters; longer ones are cut and end in a hash


@dataclass(frozen=True)
class DesiredInstances:
    """The instances of a service, and what is wrong with it, in words."""

    instances: tuple[Instance, ...]
    problems: tuple[str, ...] = ()


# --- instances -----------------------------------------------------------------------------------


def instances(
    context: ServiceContext, nodes: Mapping[str, Node], settings: SyncSettings, identity: Identity
) -> DesiredInstances:
    """The instances of the service, none if it has no flat name."""
    found = registrations.find(context, nodes, settings, identity)
    problems = [*found.problems, *_without_effect(context, settings)]
    registered: dict[str, Instance] = {}
    for registration in found.found:
        meta, left_out = _metadata(context, registration, identity)
        instance = _instance(context, registration, meta, settings, identity)
        registered.setdefault(instance.id, instance)
        problems += left_out
    made = tuple(registered.values()) if context.flat else ()
    return DesiredInstances(made, tuple(dict.fromkeys(problems)))


def _instance(
    context: ServiceContext,
    registration: Registration,
    meta: dict[str, str],
    settings: SyncSettings,
    identity: Identity,
) -> Instance:
    overrides = context.overrides
    tags = (settings.tag, f"cluster-{identity.cluster}", *overrides.tags)
    return Instance(
        id=_id(context, registration, identity),
        service=context.flat,
        address=registration.address,
        port=registration.port,
        tags=tuple(dict.fromkeys(tag for tag in tags if tag)),
        meta=meta,
        weight=overrides.weight,
        status=registration.status,
        output=registration.output,
    )


def _id(context: ServiceContext, at: Registration, identity: Identity) -> str:
    """All that tells an instance from others, so that none ever takes another's place.

    The flat name is part of it: with a new name comes a new instance, and the old one goes when
    the new one is there.
    """
    namespace, name = context.service.key
    parts = (
        identity.cluster,
        namespace,
        name,
        context.flat,
        at.address,
        str(at.port),
    )
    full = "/".join(parts)
    if len(full) <= MAX_ID:
        return full
    return f"{full[:160]}-{blake2b(full.encode(), digest_size=8).hexdigest()}"


def _metadata(
    context: ServiceContext, registration: Registration, identity: Identity
) -> tuple[dict[str, str], list[str]]:
    """Those of consul-k8s are under their names there."""
    namespace, name = context.service.key
    cluster_ips = context.service.cluster_ips if registration.label else ()
    own = {
        descriptor.SOURCE: descriptor.KUBERNETES,
        descriptor.NAMESPACE: namespace,
        descriptor.REFERENCE_KIND: "Service",
        descriptor.REFERENCE_NAME: name,
        descriptor.CLUSTER: identity.cluster,
        descriptor.UID: context.service.metadata.uid,
        **dict(registration.meta),
        descriptor.CLUSTER_IP: next(iter(cluster_ips), ""),
    }
    return write_metadata(own, registration.ports, context.overrides.meta)


def write_metadata(
    own: Mapping[str, str], ports: Iterable[Port], wanted: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The metadata, and what does not fit, in words. `own` with empty values left out."""
    meta = {key: value for key, value in own.items() if value}
    listed = [port for port in ports if descriptor.is_port(port)]
    written, left = descriptor.write_ports(listed, descriptor.MAX_META - len(meta))
    meta |= written
    room = descriptor.MAX_META - len(meta)
    problems = []
    if left:
        problems.append(
            f"{left} of its {len(listed)} ports do not fit into Consul's metadata: "
            "endpoints have no SRV for them"
        )
    if len(wanted) > room:
        problems.append(
            f"service-meta-...: {len(wanted) - room} of {len(wanted)} keys do not fit, as Consul "
            f"takes {descriptor.MAX_META} for an instance: those last in order are ignored"
        )
    meta |= dict(sorted(wanted.items())[:room])
    for name, _, number in listed:
        if name and len(meta) < descriptor.MAX_META:
            meta.setdefault(f"{descriptor.PORT_NUMBER}{name}", str(number))
    return meta, problems


def _without_effect(context: ServiceContext, settings: SyncSettings) -> Iterator[str]:
    """What the service says that changes nothing, because of what it is."""
    service, overrides, is_now = context.service, context.overrides, context.mode
    kind = "headless" if service.is_headless else service.spec.type
    if overrides.mode and overrides.mode != is_now:
        why = "externalIPs come first" if is_now == "external-ips" else f"the service is {kind}"
        yield f"service-mode {overrides.mode} has no effect: {why}"
    if overrides.address and (is_now not in ("vip", "both") or not service.cluster_ips):
        yield "service-address has no effect: the service has no cluster IP in the catalog"
    is_name = any(overrides.port == port.name for port in service.ports)
    if overrides.port and not is_name and not registrations.number_wanted(context):
        port = addresses.shown(overrides.port)
        yield f"service-port {port} is neither a port's name nor a number from 1 to 65535"
    if is_name and is_now == "ingress":
        yield "service-port has no effect: the port of an Ingress is 443 or 80"
    external = service.spec.external_ips or ()
    if external and is_now != "external-ips":
        if not settings.external_ips:
            yield "externalIPs are left out, because sync.external_ips is false"
        elif service.is_headless or service.is_external_name:
            yield f"externalIPs have no effect: the service is {kind}"
        else:
            yield f"externalIPs: none of {addresses.listed(external)} is an address to connect to"
