"""Where a service is found that an Ingress exposes: its host, or its load balancer's addresses.

As consul-k8s does with `syncCatalog.ingress`: only a rule for the path `/` counts, since a name
has no path, and the port is 443 if the host is served by TLS, else 80. Unlike
there, all hosts and addresses are taken, not the last of them; and a service goes on to be what it
is without an Ingress while there is nothing of use: no host, no address yet.
"""

from collections.abc import Iterable

from consuldns import names
from consuldns.config.sync import IngressAddresses
from consuldns.sync.desired import addresses
from consuldns.sync.kubernetes.objects import Ingress, Service, ServiceKey
from consuldns.sync.ownership import Identity

HTTP, HTTPS = 80, 443

VIP = tuple[str, int]
"""An address or a hostname, and a port."""


def may_expose(service: Service, setting: IngressAddresses) -> bool:
    """Whether an Ingress counts for the service: `setting` is `off`, `host` or `address`.

    A headless service is its endpoints, by whose names its pods find each other.
    """
    return setting != "off" and service.spec.type == "ClusterIP" and not service.is_headless


def vips(
    exposures: Iterable[Ingress],
    service: ServiceKey,
    setting: IngressAddresses,
    identity: Identity,
) -> tuple[list[VIP], list[str]]:
    """Where the service is found, each place once, in a fixed order; empty if nothing is of use.

    And what cannot be used, in words.
    """
    found: dict[VIP, None] = {}
    problems: list[str] = []
    # In the order of names, not of events: what is written must not depend on chance.
    for exposure in sorted(exposures, key=lambda each: each.metadata.name):
        secure = {host for tls in exposure.spec.tls or () for host in tls.hosts or ()}
        for rule in exposure.spec.rules or ():
            if service[1] not in rule.services:
                continue
            port = HTTPS if rule.host in secure else HTTP
            given = [rule.host] if setting == "host" else _addresses(exposure)
            if not given:
                problems.append(f"Ingress {exposure.metadata.name}: no address yet")
            for text in given:
                problem = _problem(text, identity)
                if problem:
                    problems.append(f"Ingress {exposure.metadata.name}: {problem}")
                else:
                    found[text, port] = None
    return list(found), problems


def _addresses(exposure: Ingress) -> list[str]:
    """The addresses of the load balancer, or its names; none until it has some."""
    given = exposure.status.load_balancer.ingress or ()
    return [each.ip or each.hostname for each in given if each.ip or each.hostname]


def _problem(text: str, identity: Identity) -> str:
    """Why the text cannot be the address of an instance, empty if it can."""
    if not text:
        return "a rule without a host cannot be an alias"
    if names.parse_address(text) is not None:
        try:
            addresses.address(text)
        except ValueError as error:
            return f"{addresses.shown(text)} {error}"
        return ""
    try:
        name = names.fold(names.parse_name(addresses.host_name(text)))
    except ValueError:
        return f"{addresses.shown(text)} cannot be the target of an alias"
    if identity.holds(name):
        return f"{text!r} is in one of our own zones"
    return ""
