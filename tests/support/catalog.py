"""A catalog in the form of Consul's own register payloads, and the views that it makes.

The same payloads can be put to a real Consul: `register` are bodies of PUT /v1/catalog/register,
`kv` are keys and values. Fields as in Consul's documentation; the defaults are Consul's.
"""

from dataclasses import dataclass, field
from typing import Any

from consuldns import descriptor, reverse_layout
from consuldns.consul import decoders
from consuldns.consul.http import replies
from consuldns.consul.watch.address_index import AddressBook
from consuldns.views import keys, model, reverse_names
from consuldns.views.store import ViewStore
from consuldns.zone_documents import layout

Payload = dict[str, Any]


class CatalogViews(ViewStore):
    """The views of a catalog; what nobody has registered below `connect` and `query` is not there.

    No list has the names of these views, so that there is one for any name.
    """

    def read(self, key: keys.Key[keys.V]) -> keys.V:
        """The view, or MissingView."""
        if key not in self:
            match key:
                case keys.ConnectInstances() | keys.IngressInstances() | keys.TenantInstances():
                    self.replace(key, model.Instances(0, ()))
                case keys.PeerNodes() | keys.PartitionNode():
                    self.replace(key, model.PeerNodes(0, ()))
                case keys.PreparedQueryResult():
                    self.replace(key, model.QueryResult(0, (), exists=False))
        return super().read(key)


@dataclass
class Catalog:
    """State of Consul. The first datacenter is that of the agent."""

    datacenters: list[str] = field(default_factory=lambda: ["dc1"])
    register: list[Payload] = field(default_factory=list)
    kv: dict[str, str] = field(default_factory=dict)

    def views(self) -> ViewStore:
        """Every view of the catalog."""
        store = CatalogViews()
        local = self.datacenters[0]
        store.replace(
            keys.DatacenterList(), model.Datacenters(0, local, tuple(sorted(self.datacenters)))
        )
        store.replace(keys.PreparedQueryList(local), model.PreparedQueries(0))
        store.replace(keys.PeerList(local), model.Peers(0))
        for datacenter in self.datacenters:
            self._add_datacenter(datacenter, store)
        self._add_reverse_zones(store)
        self._add_clusters(store)
        self._add_zones(store)
        return store

    def _add_zones(self, store: ViewStore) -> None:
        records = [replies.KeyValue(key=key, value=self.kv[key].encode()) for key in self.kv]
        folders = {key.rpartition("/")[0] + "/" for key in self.kv if key.startswith(layout.ROOT)}
        zones, _ = decoders.zone_names(len(self.kv), sorted(folders))
        store.replace(keys.ZoneList(), zones)
        for zone in zones.zones:
            view, bad = decoders.zone_records(len(self.kv), zone, records)
            assert not bad
            store.replace(keys.ZoneContents(zone), view)

    def _add_clusters(self, store: ViewStore) -> None:
        records = [
            replies.KeyValue(key=key, value=value.encode())
            for key, value in self.kv.items()
            if key.startswith(descriptor.ROOT)
        ]
        for datacenter in self.datacenters:
            is_local = datacenter == self.datacenters[0]
            view, _ = decoders.clusters(len(self.kv), records if is_local else [])
            store.replace(keys.ClusterList(datacenter), view)

    def _add_datacenter(self, datacenter: str, store: ViewStore) -> None:
        payloads = [
            p for p in self.register if p.get("Datacenter", self.datacenters[0]) == datacenter
        ]
        nodes = {p["Node"]: _node(p, datacenter) for p in payloads}
        services: dict[str, list[model.Instance]] = {}
        for payload in payloads:
            if "Service" in payload:
                node = nodes[payload["Node"]]
                instance = _instance(payload["Service"], node, _checks(payloads, node.name))
                services.setdefault(instance.service.lower(), []).append(instance)
        every = [instance for instances in services.values() for instance in instances]
        store.replace(
            keys.ServiceList(datacenter),
            model.Services(
                len(self.register),
                tuple(instances[0].service for instances in services.values()),
                tuple({tag for instance in every for tag in instance.tags}),
            ),
        )
        ordered = tuple(sorted(nodes.values(), key=lambda node: node.name))
        store.replace(keys.NodeList(datacenter), model.Nodes(len(self.register), ordered))
        for name, instances in services.items():
            store.replace(
                keys.ServiceInstances(datacenter, name),
                model.Instances(len(self.register), tuple(instances)),
            )
        book = AddressBook()
        book.list_services(services)
        for name, instances in services.items():
            book.take(name, model.Instances(0, tuple(instances)), 0)
        store.replace(keys.ServiceAddresses(datacenter), book.index())

    def _add_reverse_zones(self, store: ViewStore) -> None:
        folders: dict[str, list[reverse_names.ReverseEntry]] = {}
        for key, value in self.kv.items():
            folder, slash, address = key.partition("/")
            if slash and reverse_layout.folder_name(folder) is not None:
                targets = tuple(value.split())
                folders.setdefault(folder, []).append(
                    reverse_names.ReverseEntry(address, targets, 0)
                )
        store.replace(
            keys.ReverseZoneList(), reverse_names.ReverseZones(len(self.kv), tuple(folders))
        )
        for folder, entries in folders.items():
            store.replace(keys.ReverseZone(folder), reverse_names.ReverseEntries(0, tuple(entries)))


def _node(payload: Payload, datacenter: str) -> model.Node:
    return model.Node(
        payload["Node"],
        payload.get("ID", ""),
        payload["Address"],
        datacenter,
        payload.get("TaggedAddresses", {}),
        payload.get("NodeMeta", {}),
    )


def _checks(payloads: list[Payload], node: str) -> list[Payload]:
    return [
        check
        for payload in payloads
        if payload["Node"] == node
        for check in payload.get("Checks", [])
    ]


def _instance(service: Payload, node: model.Node, checks: list[Payload]) -> model.Instance:
    own_id = str(service.get("ID", service["Service"]))
    own = [c for c in checks if c.get("ServiceID", own_id) == own_id]
    weights = service.get("Weights", {"Passing": 1, "Warning": 1})
    tagged = {
        tag: model.ServiceAddress(address["Address"], address["Port"])
        for tag, address in service.get("TaggedAddresses", {}).items()
    }
    return model.Instance(
        node,
        own_id,
        service["Service"],
        service.get("Address", ""),
        service.get("Port", 0),
        tuple(service.get("Tags", [])),
        service.get("Meta", {}),
        tagged,
        weights["Passing"],
        weights["Warning"],
        _health([c["Status"] for c in own]),
        decoders.failing(node.name, [replies.Check(c["Status"], c.get("Name", "")) for c in own]),
    )


def _health(statuses: list[str]) -> model.Health:
    known = {"passing": model.Health.PASSING, "warning": model.Health.WARNING}
    if "critical" in statuses:
        return model.Health.CRITICAL
    if any(status not in known for status in statuses):
        return model.Health.UNKNOWN
    return max((known[status] for status in statuses), default=model.Health.PASSING)
