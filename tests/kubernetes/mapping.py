"""What a service is to be in Consul, from objects as the API has them."""

from typing import Any

import msgspec

from consuldns.config.sync import SyncSettings
from consuldns.sync.desired import annotations, state
from consuldns.sync.desired.annotations import Overrides
from consuldns.sync.desired.state import Entries
from consuldns.sync.kubernetes.objects import EndpointSlice, Node, Service
from consuldns.sync.ownership import Identity
from tests.kubernetes.api_server import Object

IDENTITY = Identity("blue", "uid-1", "dc1", "consul", "dc1.consul")


def overrides_of(service: Service) -> Overrides:
    """What a service's annotations say."""
    return annotations.read(service.metadata.annotations)


def entries(
    object_: Object,
    *slices: Object,
    nodes: tuple[Object, ...] = (),
    flat: str | None = None,
    **settings: Any,
) -> Entries:
    """The entries of one service; `flat` is its flat name, by default its own."""
    decoded = msgspec.convert(object_, Service)
    return state.entries(
        decoded,
        overrides_of(decoded),
        [msgspec.convert(each, EndpointSlice) for each in slices],
        {each["metadata"]["name"]: msgspec.convert(each, Node) for each in nodes},
        decoded.metadata.name if flat is None else flat,
        SyncSettings(**settings),
        IDENTITY,
    )
