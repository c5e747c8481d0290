"""What one service of the cluster is to be in Consul: a pure function of objects and settings.

    service, slices, nodes, flat name --> instances, descriptor, claims to reverse names

The descriptor says what the catalog cannot: that a service exists without instances, its addresses,
its ports by name, where an ExternalName leads. It holds no counts, times or versions, so that it is
rewritten only when one of those changes.

An instance says what it is in metadata, in keys of consul-k8s and of our own. Consul takes 64 pairs
and refuses an instance with more. What nested names need comes first, then what the owner of the
service wants, then what is there for those who know consul-k8s only.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from consuldns import descriptor
from consuldns.config.sync import SyncSettings
from consuldns.consul.operations import Instance, Key
from consuldns.descriptor import (
    ClusterRecord,
    DescribedPort,
    Descriptor,
    NameKey,
    NameOwner,
    Port,
)
from consuldns.sync.desired import (
    addresses,
    endpoint_names,
    endpoints,
    ingresses,
    registrations,
    reverse_names,
)
from consuldns.sync.desired.annotations import Overrides
from consuldns.sync.desired.ingresses import VIP
from consuldns.sync.desired.registrations import Registration, ServiceContext
from consuldns.sync.desired.reverse_names import Candidate
from consuldns.sync.kubernetes.objects import EndpointSlice, Ingress, Node, Service, ServiceKey
from consuldns.sync.ownership import Identity

MAX_ID = 200  # characters; longer ones are cut and end in a hash
NO_ADDRESS_YET = "no address yet"  # of a service whose load balancer has not been given one


@dataclass(frozen=True)
class Entries:
    """All that a service is to be in Consul, and what is wrong with it, in words.

    `absent` says why it has no instances, in a few words; empty if it has some.
    """

    instances: tuple[Instance, ...]
    endpoints: tuple[Key, ...]
    descriptor: Key
    candidates: tuple[Candidate, ...]
    problems: tuple[str, ...] = ()
    absent: str = ""


def entries(
    service: Service,
    overrides: Overrides,
    slices: Iterable[EndpointSlice],
    nodes: Mapping[str, Node],
    flat: str,
    settings: SyncSettings,
    identity: Identity,
    exposures: Iterable[Ingress] = (),
) -> Entries:
    """What the service is to be in Consul under this flat name (empty: it has none)."""
    joined = endpoints.join(
        slices, service.key, publish_not_ready=service.spec.publish_not_ready_addresses
    )
    vips: list[VIP] = []
    problems = [*overrides.problems, *joined.problems]
    if ingresses.may_expose(service, settings.ingress) and not overrides.mode:
        vips, unusable = ingresses.vips(exposures, service.key, settings.ingress, identity)
        problems += unusable
    mode = registrations.mode_of(service, overrides, settings, is_exposed=bool(vips))
    context = ServiceContext(service, joined.endpoints, overrides, flat, mode, vips)
    registered = register(context, nodes, settings, identity)
    candidates, no_name = reverse_names.candidates(
        context, registered.instances, settings, identity
    )
    problems += [*registered.problems, *no_name]
    return Entries(
        registered.instances,
        endpoint_names.keys(context, settings, identity),
        _descriptor(context, settings, identity),
        candidates,
        tuple(dict.fromkeys(problems)),
        "" if registered.instances else _absent(context),
    )


def _absent(context: ServiceContext) -> str:
    """Why a service has no instances."""
    if not context.flat:
        return "no flat name"
    ingress = context.service.status.load_balancer.ingress or ()
    match context.mode:
        case "load-balancer" if not any(each.ip or each.hostname for each in ingress):
            return NO_ADDRESS_YET
        case "endpoints" if not context.endpoints:
            return "no endpoints"
        case _:
            return "no instances"


def _descriptor(context: ServiceContext, settings: SyncSettings, identity: Identity) -> Key:
    service = context.service
    described = Descriptor(
        uid=service.metadata.uid,
        type=service.spec.type,
        flat=context.flat,
        mode=context.mode,
        headless=service.is_headless,
        cluster_ips=service.cluster_ips,
        families=service.spec.ip_families or (),
        ports=tuple(
            DescribedPort(p.port, p.name, p.protocol, p.node_port, p.app_protocol)
            for p in service.ports
        ),
        external_name=service.spec.external_name.rstrip("."),
        publish_not_ready=service.spec.publish_not_ready_addresses,
        reverse=reverse_names.without_key(context, settings),
    )
    path = identity.descriptor_key(*service.key)
    return Key(path, msgspec.json.encode(described), identity.flags)


def name_entry(flat: str, owner: ServiceKey, identity: Identity) -> Key:
    """The key that makes a flat name ours, against other clusters at the same moment.

    Where several services share the name, its owner has no namespace.
    """
    value = NameOwner(identity.cluster, *owner).value
    return Key(NameKey(flat.lower()).path, value, identity.flags)


def cluster_record(
    version: str, namespaces: Iterable[str], settings: SyncSettings, identity: Identity
) -> Key:
    """The key that says what there is to know about the cluster."""
    record = ClusterRecord(
        cluster_uid=identity.uid,
        zone=identity.zone,
        version=version,
        namespaces=tuple(sorted(namespaces)),
        domain=settings.cluster_domain,
    )
    return Key(identity.record_key, msgspec.json.encode(record), identity.flags)


# --- instances ------------------------------------------------------------------------


@dataclass(frozen=True)
class DesiredInstances:
    """The instances of a service, and what is wrong with it, in words."""

    instances: tuple[Instance, ...]
    problems: tuple[str, ...] = ()


# --- instances ------------------------------------------------------------------------


def register(
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
            "endpoints have no SRV records for them"
        )
    if len(wanted) > room:
        problems.append(
            f"service-meta-...: {len(wanted) - room} of {len(wanted)} keys do not fit, as Consul "
            f"takes {descriptor.MAX_META} for an instance: the last ones in alphabetical "
            "order are ignored"
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
