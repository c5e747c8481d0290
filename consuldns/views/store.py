"""The views that a process knows now."""

from typing import Protocol, cast

from consuldns.views import keys, model, reverse_names, zone_records
from consuldns.views.clusters import Clusters
from consuldns.views.keys import Key, V, ViewKey
from consuldns.views.model import AnyView
from consuldns.views.sharing import SharedParts


class MissingView(Exception):
    """The resolver needs a view that is not there (or is outdated); it may be asked for."""

    def __init__(self, key: ViewKey) -> None:
        self.key = key
        super().__init__(key)


class Views(Protocol):
    """What the resolver reads."""

    def read(self, key: Key[V]) -> V:
        """The view, or MissingView."""


class ViewStore:
    """The current view of each key. A view is replaced as a whole; outdated ones are kept.

    An outdated view is as good as missing until control has confirmed or replaced it, or has said
    that Consul is unavailable: then the old one is the best there is, and is used again.
    """

    def __init__(self) -> None:
        self._views: dict[ViewKey, AnyView] = {}
        self._parts = SharedParts()
        self._outdated: set[ViewKey] = set()

    def read(self, key: Key[V]) -> V:
        """The view, or MissingView."""
        view = self._views.get(key)
        if view is None or key in self._outdated:
            raise MissingView(key)
        return cast(V, view)  # what `replace` takes for this key

    def replace(self, key: ViewKey, view: AnyView) -> None:
        """Take a new view in place of the old one."""
        self._views[key] = self._parts.share(view)
        self._outdated.discard(key)

    def change_zone(self, key: ViewKey, change: zone_records.ZoneChange) -> None:
        """Change the view of a zone, which is there."""
        view = self._views.get(key)
        if isinstance(view, zone_records.ZoneRecords):
            self.replace(key, view.changed(change))

    def mark_outdated(self, key: ViewKey) -> None:
        """Treat the view as missing until it is replaced or `use_as_is` is called."""
        if key in self._views:
            self._outdated.add(key)

    def use_as_is(self, key: ViewKey) -> bool:
        """End `mark_outdated`; whether there is a view at all."""
        self._outdated.discard(key)
        return key in self._views

    def has_instances(self, key: ViewKey) -> bool:
        """Whether the view, outdated or not, has instances: it denies nothing then."""
        view = self._views.get(key)
        return isinstance(view, model.Instances) and bool(view.instances)

    def forget(self, key: ViewKey) -> None:
        """Drop the view."""
        self._views.pop(key, None)
        self._outdated.discard(key)

    def __contains__(self, key: ViewKey) -> bool:
        return key in self._views

    def __len__(self) -> int:
        return len(self._views)


class ViewReader:
    """One reading of the views, which remembers what was read.

    The resolver makes one for each question; its answer depends on the `dependencies`. The methods
    that are named after views are short for `read` of their keys.
    """

    def __init__(self, views: Views) -> None:
        self._views = views
        self._datacenters: model.Datacenters | None = None
        self._zones: zone_records.ZoneNames | None = None
        # Those that a denial reads several times: a repeated look-up by key costs 0.5 us.
        self._services: dict[str, model.Services] = {}
        self._nodes: dict[str, model.Nodes] = {}
        self._clusters: dict[str, Clusters] = {}
        self.dependencies: set[ViewKey] = set()

    def read(self, key: Key[V]) -> V:
        """The view, or MissingView; either way the answer depends on it."""
        self.dependencies.add(key)
        return self._views.read(key)

    def datacenters(self) -> model.Datacenters:
        """The datacenters, which nearly every step reads."""
        if self._datacenters is None:
            self._datacenters = self.read(keys.DatacenterList())
        return self._datacenters

    def services(self, datacenter: str) -> model.Services:
        """The names of all services of a datacenter."""
        found = self._services.get(datacenter)
        if found is None:
            found = self.read(keys.ServiceList(datacenter))
            self._services[datacenter] = found
        return found

    def listed_service(self, datacenter: str, name: bytes) -> str | None:
        """Consul's spelling of a service's folded name, None if there is no such service.

        Only absence makes the list a dependency: presence is proved by the instances, which are
        read next, so that a new service elsewhere does not void the answers about this one.
        """
        key = keys.ServiceList(datacenter)
        view = self._views.read(key)
        found = view.by_name.get(name)
        if found is None:
            self.dependencies.add(key)
            self._services[datacenter] = view
        return found

    def is_listed_tag(self, datacenter: str, tag: bytes) -> bool:
        """Whether any service has this tag (folded); the list is a dependency as above."""
        key = keys.ServiceList(datacenter)
        found = tag in self._views.read(key).folded_tags
        if not found:
            self.dependencies.add(key)
        return found

    def nodes(self, datacenter: str) -> model.Nodes:
        """All nodes of a datacenter."""
        found = self._nodes.get(datacenter)
        if found is None:
            found = self.read(keys.NodeList(datacenter))
            self._nodes[datacenter] = found
        return found

    def instances(self, datacenter: str, service: str) -> model.Instances:
        """The instances of one service; any spelling of its name."""
        return self.read(keys.ServiceInstances(datacenter, service.lower()))

    def connect_instances(self, datacenter: str, service: str) -> model.Instances:
        """What accepts connections of the service mesh for a service."""
        return self.read(keys.ConnectInstances(datacenter, service.lower()))

    def ingress_instances(self, datacenter: str, service: str) -> model.Instances:
        """The ingress gateways that expose a service."""
        return self.read(keys.IngressInstances(datacenter, service.lower()))

    def query_result(self, datacenter: str, query: str) -> model.QueryResult:
        """What a prepared query finds in a datacenter."""
        return self.read(keys.PreparedQueryResult(datacenter, query.lower()))

    def prepared_queries(self, datacenter: str) -> model.PreparedQueries:
        """The prepared queries that are known by name."""
        return self.read(keys.PreparedQueryList(datacenter))

    def reverse_zones(self) -> reverse_names.ReverseZones:
        """The folders of the KV tree that hold reverse names."""
        return self.read(keys.ReverseZoneList())

    def reverse_entries(self, folder: str) -> reverse_names.ReverseEntries:
        """The reverse names of one folder."""
        return self.read(keys.ReverseZone(folder))

    def zones(self) -> zone_records.ZoneNames:
        """The zones that people keep in the KV tree."""
        if self._zones is None:
            self._zones = self.read(keys.ZoneList())
        return self._zones

    def zone_records(self, zone: str) -> zone_records.ZoneRecords:
        """The records of one of them."""
        return self.read(keys.ZoneContents(zone))

    def service_addresses(self, datacenter: str) -> reverse_names.AddressIndex:
        """Which service has an address."""
        return self.read(keys.ServiceAddresses(datacenter))

    def clusters(self, datacenter: str) -> Clusters:
        """The Kubernetes clusters and their services."""
        found = self._clusters.get(datacenter)
        if found is None:
            found = self.read(keys.ClusterList(datacenter))
            self._clusters[datacenter] = found
        return found
