"""The names of the views: what can be watched on its own.

Keys are small frozen values: they are dictionary keys in the store and travel between processes.
Datacenter and service names are those of Consul; a service's is in lower case, because Consul looks
services up without regard to case.
"""

import msgspec


class _Key(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A name of a view."""


class DatacenterList(_Key, frozen=True):
    """`model.Datacenters`: which datacenters exist, and which is ours. /v1/catalog/datacenters."""


class ServiceList(_Key, frozen=True):
    """`model.Services`: names and tags of all services of a datacenter. /v1/catalog/services."""

    datacenter: str


class NodeList(_Key, frozen=True):
    """`model.Nodes`: all nodes of a datacenter. /v1/catalog/nodes."""

    datacenter: str


class ServiceInstances(_Key, frozen=True):
    """`model.Instances`: the instances of one service. /v1/health/service/<service>."""

    datacenter: str
    service: str


class ReverseZoneList(_Key, frozen=True):
    """`model.ReverseZones`: folders of the KV tree that hold reverse names. /v1/kv/?keys."""


class ReverseZone(_Key, frozen=True):
    """`model.ReverseEntries`: the reverse names in one folder. /v1/kv/<folder>/?recurse."""

    folder: str  # as spelled in the KV tree, without the final slash


class ServiceAddresses(_Key, frozen=True):
    """`model.AddressIndex`: which service has an address, for PTR. Filled in the background."""

    datacenter: str


class ClusterList(_Key, frozen=True):
    """`model.Clusters`: the Kubernetes clusters and their services. /v1/kv/consuldns/k8s/."""

    datacenter: str


ViewKey = (
    DatacenterList
    | ServiceList
    | NodeList
    | ServiceInstances
    | ReverseZoneList
    | ReverseZone
    | ServiceAddresses
    | ClusterList
)
