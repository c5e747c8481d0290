"""Hostnames that instances have as their address, which Consul answers as aliases.

They come from ExternalName services, load balancers and annotations. A name in the cluster's own
domain (`db.prod.svc.cluster.local`) means nothing outside of the cluster: it becomes the nested
name in the zone that is served for it, `db.prod.svc.dc1.consul`.
"""

from consuldns import names
from consuldns.names import Labels
from consuldns.sync.kubernetes.objects import Service
from consuldns.sync.ownership import Identity

KINDS = (b"svc", b"pod")  # what the cluster's domain has names below


def resolvable(
    text: str, service: Service, flat: str, cluster_domain: str, identity: Identity
) -> str:
    """The hostname as others can look it up, without a final dot.

    Raises ValueError with a text that goes on from "it ...", if no instance of the service can have
    it.
    """
    text = text.rstrip(".")
    name = _labels(text)
    if not name:
        raise ValueError("is not a host name")
    domain = _labels(cluster_domain)
    path = name[: len(name) - len(domain)]
    if names.is_below(name, domain) and path[-1:] and path[-1] in KINDS:
        name = (*path, *_labels(identity.zone))
        if not names.is_valid(name):
            raise ValueError(f"is too long in the zone {identity.zone!r}")
        text = names.format_name(name).rstrip(".")
    if _is_own(name, service, flat, identity):
        raise ValueError("resolves to the service itself")
    return text


def _labels(text: str) -> Labels:
    """The folded name, () if it is not valid."""
    try:
        return names.fold(names.parse_name(text))
    except ValueError:
        return ()


def _is_own(name: Labels, service: Service, flat: str, identity: Identity) -> bool:
    """Whether the folded name is one of the service's own, in any form: it would be a circle."""
    domain = _labels(identity.domain)
    default = (names.fold_text(identity.datacenter), *domain)
    nested = (names.fold_text(service.metadata.name), names.fold_text(service.metadata.namespace))
    label = names.fold_text(flat)
    for zone in (default, _labels(identity.zone)):
        if _left_of(name, (b"svc", *zone))[-2:] == nested:
            return True
    for zone in (default, domain):
        left = _left_of(name, (b"service", *zone))
        is_rfc2782 = len(left) == 2 and left[0] == b"_" + label and left[1][:1] == b"_"
        if left[-1:] == (label,) or left[-2:] == nested or is_rfc2782:
            return True
    return False


def _left_of(name: Labels, zone: Labels) -> Labels:
    """The labels left of the zone, () if the name is not below it."""
    return name[: len(name) - len(zone)] if names.is_below(name, zone) else ()
