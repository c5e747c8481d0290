"""Where the alias of an ExternalName service leads.

A target in the domain of the service's own cluster (`db.prod.svc.cluster.local`) means a service of
that cluster. Few of those who ask us can look it up under that name, so the alias leads to the same
service in a zone that we serve.
"""

from consuldns import names
from consuldns.dns import consul_rules
from consuldns.dns.finder import Request
from consuldns.names import Labels
from consuldns.views.clusters import Service

KINDS = ((b"svc",), (b"pod",))  # what a cluster's domain has names below


def target_of(service: Service, datacenter: str, request: Request) -> Labels | None:
    """The name that the service's own name is an alias of, None if it cannot be that of any."""
    target = consul_rules.endpoint(service.external_name)
    if not isinstance(target, tuple):
        return None
    domain = request.views.clusters(datacenter).domains[service.cluster]
    path = target[: len(target) - len(domain)]
    if names.is_below(names.fold(target), domain) and names.fold(path[-1:]) in KINDS:
        zone = _zone_of(names.fold(path), service, datacenter, request)
        if zone is None:
            return None
        target = target if zone == domain else (*path, *zone)
    return target if names.is_valid(target) else None


def _zone_of(path: Labels, service: Service, datacenter: str, request: Request) -> Labels | None:
    """The zone in which the path means what it means in the service's cluster.

    The cluster's own domain if we serve that, or else the zone that was asked. The default zone has
    the services of all clusters, so that another one may have the name there. None if the domain is
    served for another cluster, and no other zone for this one.
    """
    views = request.views
    clusters = views.clusters(datacenter)
    domain, cluster = clusters.domains[service.cluster], service.cluster
    is_local = datacenter == views.datacenters().local
    own_zones = request.policy.kubernetes.zones if is_local else {}
    if own_zones.get(domain) == cluster:
        return domain
    if request.zone.cluster == cluster:
        return request.zone.apex
    found = None
    if len(path) > 2:
        found = clusters.all_namespaces.get(path[-2], {}).get(path[-3])
    if found is None or found.cluster == cluster:
        return (datacenter.encode(), *request.domain)
    by_cluster = (zone for zone, each in own_zones.items() if each == cluster)
    return next(by_cluster, None if domain in own_zones else domain)
