"""What proves that a view exists, before anything is requested: the lists that are in memory.

Each gives Consul's spelling of the view's name. They raise MissingView if the list is not known
yet, NotFound if it lacks the name, and BadResponse for a datacenter that Consul does not know.
"""

from consuldns.errors import BadResponse, NotFound
from consuldns.views import keys
from consuldns.views.keys import ViewKey
from consuldns.views.store import Views


def of_known_datacenter(key: ViewKey, views: Views) -> str:
    """The list of datacenters has the view's."""
    datacenter = key.datacenter_or("")
    if datacenter not in views.read(keys.DatacenterList()).names:
        raise BadResponse("the datacenter is unknown to Consul")
    return datacenter


def of_listed_service(key: keys.ServiceInstances, views: Views) -> str:
    """The list of services has the view's."""
    services = views.read(keys.ServiceList(key.datacenter))
    name = services.by_name.get(key.service.encode())
    if name is None:
        raise NotFound(f"no service {key.service!r} in {key.datacenter}")
    return name


def guess(datacenter: str, name: str, views: Views) -> str:
    """A name that no list holds: it is from a query, and becomes a part of a URL."""
    if datacenter not in views.read(keys.DatacenterList()).names:
        raise BadResponse("the datacenter is unknown to Consul")
    if not keys.is_guessable(name):
        raise NotFound(f"Consul has no name such as {name!r}")
    return name


def service_or_guess(key: keys.ConnectInstances | keys.IngressInstances, views: Views) -> str:
    """The list of services has it, or Consul may know it all the same."""
    listed = views.read(keys.ServiceList(key.datacenter)).by_name.get(key.service.encode())
    return listed or guess(key.datacenter, key.service, views)


def is_not_a_service(key: keys.ConnectInstances | keys.IngressInstances, views: Views) -> bool:
    """Whether the list of services lacks it."""
    return key.service.encode() not in views.read(keys.ServiceList(key.datacenter)).by_name


def of_listed_peer(key: keys.PeerNodes | keys.TenantInstances, views: Views) -> str:
    """A Consul that knows no peers ignores the parameter, and gives what it has itself."""
    local = views.read(keys.DatacenterList()).local
    if key.peer not in views.read(keys.PeerList(local)).names:
        raise NotFound(f"no peer {key.peer!r}")
    return key.peer


def in_tenancy(key: keys.TenantInstances, views: Views) -> str:
    """A peer is listed; a namespace, partition or group is a name from a query, as the service."""
    if key.peer:
        of_listed_peer(key, views)
    for name in filter(None, (key.namespace, key.partition, key.group)):
        guess(key.datacenter, name, views)
    return guess(key.datacenter, key.service, views)


def in_partition(key: keys.PartitionNode, views: Views) -> str:
    """Both are names from a query."""
    guess(key.datacenter, key.partition, views)
    return guess(key.datacenter, key.node, views)


def query_or_guess(key: keys.PreparedQueryResult, views: Views) -> str:
    """The definitions have it, or a template may answer the name."""
    return key.query if is_listed_query(key, views) else guess(key.datacenter, key.query, views)


def is_listed_query(key: keys.PreparedQueryResult, views: Views) -> bool:
    """Whether the agent's own datacenter has the query; of others, definitions are not read."""
    local = views.read(keys.DatacenterList()).local
    return key.is_in(local) and key.query.encode() in (
        views.read(keys.PreparedQueryList(local)).known
    )


def of_listed_folder(key: keys.ReverseZone, views: Views) -> str:
    """The list of the KV tree's folders has the view's."""
    if key.folder not in views.read(keys.ReverseZoneList()).folders:
        raise NotFound(f"no reverse zone {key.folder!r}")
    return key.folder


def of_listed_zone(key: keys.ZoneContents, views: Views) -> str:
    """The list of zones has the view's."""
    if key.zone not in views.read(keys.ZoneList()).zones:
        raise NotFound(f"no zone {key.zone!r} in the KV tree")
    return key.zone
