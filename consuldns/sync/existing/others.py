"""Names of others in Consul, and which of them consul-k8s has given to our own services.

When a cluster moves from HashiCorp's consul-k8s, both have every service in Consul for a while. An
instance of consul-k8s tells its namespace, but not its service, whose name is that in the catalog.
Another cluster may have a service of that name in a namespace of that name, so what counts is where
an instance leads: to an address of our service, and to the same pod, if it names one.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from consuldns import descriptor, names
from consuldns.consul.catalog import Catalog
from consuldns.consul.operations import Instance
from consuldns.descriptor import NameKey
from consuldns.sync.desired import endpoints
from consuldns.sync.desired.flat_names import Others
from consuldns.sync.existing.contents import Existing
from consuldns.sync.kubernetes.objects import ServiceKey
from consuldns.sync.ownership import Identity, is_of_consul_k8s
from consuldns.sync.selection import Selection

Given: TypeAlias = tuple[ServiceKey, str]
"""A service, and a name that it wants and that consul-k8s has given to one in its namespace."""


async def read(
    catalog: Catalog,
    existing: Existing,
    selection: Selection,
    identity: Identity,
    *,
    unknown: Collection[ServiceKey] = (),
) -> Others:
    """The names of others: in the catalog, or claimed by other clusters.

    So are those of our own services that are `unknown` now: they are not free. The instances of
    consul-k8s are asked for only while a name that we want is taken.
    """
    claimed = {
        key.flat.lower()
        for key in map(descriptor.parse_path, existing.foreign_keys)
        if isinstance(key, NameKey)
    }
    claimed |= {name for name, owner in existing.current_owners.items() if owner in unknown}
    in_catalog = await catalog.service_names() - existing.current_owners.keys() - claimed
    contested: dict[tuple[str, str], list[ServiceKey]] = {}
    for claim in selection.claims.values():
        for name in claim.candidates(identity.uid, identity.cluster):
            if name.lower() in in_catalog:
                contested.setdefault((name.lower(), claim.service[0]), []).append(claim.service)
    given: dict[Given, list[Instance]] = {}
    if contested:
        for node in filter(is_of_consul_k8s, await catalog.kubernetes_nodes()):
            async for stored in catalog.instances(node.name):
                name = stored.instance.service.lower()
                for service in contested.get((name, _namespace(stored.instance)), ()):
                    given.setdefault((service, name), []).append(stored.instance)
    handed_down: dict[ServiceKey, set[str]] = {}
    for service, name in _same(given, selection):
        handed_down.setdefault(service, set()).add(name)
    return Others(in_catalog | claimed, handed_down)


def _namespace(instance: Instance) -> str:
    """The namespace, empty if the instance is not of consul-k8s."""
    meta = instance.meta
    is_of_kubernetes = meta.get(descriptor.SOURCE) == descriptor.KUBERNETES
    is_theirs = is_of_kubernetes and descriptor.CLUSTER not in meta
    return meta.get(descriptor.NAMESPACE, "") if is_theirs else ""


def _same(given: Mapping[Given, Iterable[Instance]], selection: Selection) -> set[Given]:
    """Those that are the very same service, not one of another cluster.

    A service without addresses proves nothing. It is taken for the same as long as consul-k8s has
    another one of this cluster, or none that is of another.
    """
    verdicts = {key: _leads_to(key[0], instances, selection) for key, instances in given.items()}
    is_ours = True in verdicts.values() or False not in verdicts.values()
    return {key for key, verdict in verdicts.items() if verdict or (verdict is None and is_ours)}


def _leads_to(key: ServiceKey, instances: Iterable[Instance], selection: Selection) -> bool | None:
    """Whether an instance leads to the service.

    None: the service has no address yet, or the instances have none, but hostnames.
    """
    vips = _vips(key, selection)
    joined = endpoints.join(selection.cache.slices(key), key, publish_not_ready=True)
    pods = {endpoint.address: endpoint.pod for endpoint in joined.endpoints}
    has_address = False
    for instance in instances:
        is_pod = instance.meta.get(descriptor.REFERENCE_KIND) == "Pod"
        pod = instance.meta.get(descriptor.REFERENCE_NAME, "") if is_pod else ""
        known = pods.get(instance.address)
        if known is not None and (not pod or known in ("", pod)):
            return True
        if instance.address in vips:
            return True
        has_address |= names.parse_address(instance.address) is not None
    return False if has_address and (pods or vips) else None


def _vips(key: ServiceKey, selection: Selection) -> set[str]:
    """Addresses and hostnames in front of a service that consul-k8s registers: no cluster IPs."""
    service = selection.services[key]
    exposures = selection.cache.exposures(key)
    balancers = (service.status, *(exposure.status for exposure in exposures))
    ingress = [each for status in balancers for each in status.load_balancer.ingress or ()]
    vips = {text for each in ingress for text in (each.ip, each.hostname)}
    vips |= {rule.host for exposure in exposures for rule in exposure.spec.rules or ()}
    vips |= set(service.spec.external_ips or ())
    if service.spec.type == "NodePort":
        vips |= selection.cache.node_addresses
    return vips - {""}
