"""The metadata of an instance: what it is, in keys of consul-k8s and of our own.

Consul takes 64 pairs and refuses an instance with more. What nested names need comes first, then
what the owner of the service wants, then what is there for those who know consul-k8s only.
"""

from collections.abc import Iterable, Mapping

from consuldns import descriptor
from consuldns.descriptor import Port


def metadata(
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
            meta.setdefault(f"port-{name}", str(number))
    return meta, problems
