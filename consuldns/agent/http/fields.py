"""The fields that a filter expression may name, with their kinds: measured on Consul 1.8.7.

They are those of the JSON, without the indexes and what Consul does not let one filter by.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ListOf:
    """A list; a selector that goes on inside means any of its elements."""

    each: "Kind"


@dataclass(frozen=True)
class MapOf:
    """A map; a selector that goes on inside names a key, which may be missing."""

    each: "Kind"


Fields = Mapping[str, "Kind"]
Kind = type[str] | type[int] | type[bool] | ListOf | MapOf | Fields


def _texts(names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), str)


_MESH_GATEWAY = _texts("Mode")
_UPSTREAM: Fields = {
    **_texts("DestinationType DestinationNamespace DestinationName Datacenter LocalBindAddress"),
    "LocalBindPort": int,
    "MeshGateway": _MESH_GATEWAY,
}
_EXPOSED_PATH: Fields = {
    **_texts("Path Protocol"),
    "ListenerPort": int,
    "LocalPathPort": int,
    "ParsedFromCheck": bool,
}
_PROXY: Fields = {
    **_texts("DestinationServiceName DestinationServiceID LocalServiceAddress"),
    "LocalServicePort": int,
    "Upstreams": ListOf(_UPSTREAM),
    "MeshGateway": _MESH_GATEWAY,
    "Expose": {"Checks": bool, "Paths": ListOf(_EXPOSED_PATH)},
}

NODE: Fields = {
    **_texts("ID Node Address Datacenter"),
    "TaggedAddresses": MapOf(str),
    "Meta": MapOf(str),
}
SERVICE: Fields = {
    **_texts("Kind ID Service Address"),
    "Tags": ListOf(str),
    "TaggedAddresses": MapOf({"Address": str, "Port": int}),
    "Meta": MapOf(str),
    "Port": int,
    "Weights": {"Passing": int, "Warning": int},
    "EnableTagOverride": bool,
    "Proxy": _PROXY,
    "Connect": {"Native": bool},
}
CHECK: Fields = {
    **_texts("Node CheckID Name Status Notes Output ServiceID ServiceName Type"),
    "ServiceTags": ListOf(str),
}
HEALTH_ENTRY: Fields = {"Node": NODE, "Service": SERVICE, "Checks": ListOf(CHECK)}
CATALOG_SERVICE: Fields = {
    **{"NodeMeta" if name == "Meta" else name: kind for name, kind in NODE.items()},
    **{f"Service{'Name' if name == 'Service' else name}": SERVICE[name] for name in SERVICE},
}
