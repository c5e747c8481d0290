"""What the finders take: a name and a type, and what they are to be answered from."""

import msgspec

from consuldns import names
from consuldns.dns import consul_rules
from consuldns.dns.finding import Finding, Reason, missing
from consuldns.dns.policy import Policy, Zone
from consuldns.names import Labels
from consuldns.views.model import Instance, Instances
from consuldns.views.store import ViewReader


class Request(msgspec.Struct, frozen=True):
    """A name and a type, and what they are to be answered from.

    `name` is folded; `came_from` are the aliases that led here, the first one first.
    """

    name: Labels
    type: int
    zone: Zone
    views: ViewReader
    policy: Policy
    came_from: tuple[Labels, ...] = ()

    @property
    def domain(self) -> Labels:
        """Consul's domain that names in the answer are made under."""
        return self.zone.domain

    def datacenter(self, label: bytes | None) -> str | None:
        """Consul's spelling of the datacenter that a label names, None if there is none.

        Without a label it is the datacenter of the agent.
        """
        datacenters = self.views.datacenters()
        return datacenters.local if label is None else datacenters.by_name.get(label)

    def no_datacenter(self, label: bytes | None) -> Finding:
        """That `datacenter` found none."""
        among = self.views.datacenters().by_name
        return missing(Reason.NO_DATACENTER, label=label or b"", among=among)

    def levels(self, datacenter: bytes | None) -> int:
        """The labels of `<kind>[.<dc>].D`, which Consul's names are below."""
        return len(self.zone.domain) + (1 if datacenter is None else 2)

    def all_instances(self, datacenter: str, service: bytes) -> Instances | None:
        """The instances of a service (folded name); None without the view if there is none."""
        name = self.views.listed_service(datacenter, service)
        return None if name is None else self.views.instances(datacenter, name)

    def healthy(self, instances: Instances) -> tuple[Instance, ...]:
        """Those of the instances that Consul answers with."""
        return consul_rules.healthy(instances, only_passing=self.policy.only_passing)

    def instances(self, datacenter: str, service: bytes) -> tuple[Instance, ...]:
        """The healthy instances of a service; () if no service has the name."""
        instances = self.all_instances(datacenter, service)
        return () if instances is None else self.healthy(instances)

    def ask(self, target: Labels, zone: Zone, type_: int) -> "Request":
        """The request that follows an alias."""
        came_from = (*self.came_from, self.name)
        return Request(names.fold(target), type_, zone, self.views, self.policy, came_from)
