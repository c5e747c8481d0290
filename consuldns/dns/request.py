"""What the answering modules take (`Request`) and give (`Finding`)."""

import msgspec

from consuldns import names
from consuldns.dns import consul_rules
from consuldns.dns.answer import Outcome, Record, RecordGroup
from consuldns.dns.policy import Policy, Zone
from consuldns.names import Labels
from consuldns.views.model import Instance
from consuldns.views.store import Reading


class Request(msgspec.Struct, frozen=True):
    """A name and a type, and what they are to be answered from.

    `name` is folded; `came_from` are the aliases that led here, the first one first.
    """

    name: Labels
    type: int
    zone: Zone
    reading: Reading
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
        datacenters = self.reading.datacenters()
        return datacenters.local if label is None else datacenters.by_name.get(label)

    def instances(self, datacenter: str, service: bytes) -> tuple[Instance, ...]:
        """The healthy instances of a service; () without the view if no service has the name."""
        name = self.reading.listed_service(datacenter, service)
        if name is None:
            return ()
        view = self.reading.instances(datacenter, name)
        return consul_rules.healthy(view, only_passing=self.policy.only_passing)

    def ask(self, target: Labels, zone: Zone, type_: int) -> "Request":
        """The request that follows an alias."""
        came_from = (*self.came_from, self.name)
        return Request(names.fold(target), type_, zone, self.reading, self.policy, came_from)


class Finding(msgspec.Struct, frozen=True):
    """What was found for a name, before a negative one gets its SOA.

    `groups`, `authority` and `exclusive` are as in `Answer`. `is_empty_non_terminal`: there is
    nothing at the name, but below it (or for another type of a name that Consul knows for one type
    alone), so that another interpretation of the name may still have the answer.
    """

    outcome: Outcome
    groups: tuple[RecordGroup, ...] = ()
    authority: tuple[Record, ...] = ()
    exclusive: bool = False
    is_empty_non_terminal: bool = False


NODATA = Finding(Outcome.NODATA)
EMPTY_NON_TERMINAL = Finding(Outcome.NODATA, is_empty_non_terminal=True)
NXDOMAIN = Finding(Outcome.NXDOMAIN)


def found(groups: list[RecordGroup], *, exclusive: bool = False) -> Finding:
    """An answer, or NODATA if nothing has a record."""
    if not groups:
        return NODATA
    return Finding(Outcome.ANSWER, tuple(groups), exclusive=exclusive)
