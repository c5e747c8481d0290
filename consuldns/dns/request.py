"""What the answering modules take (`Request`) and give (`Finding`)."""

from dataclasses import dataclass

from consuldns import names
from consuldns.dns.answer import Contribution, Outcome, Record
from consuldns.dns.policy import Policy
from consuldns.names import Labels
from consuldns.views.store import Reading


@dataclass(frozen=True, slots=True)
class Request:
    """A name and a type, and what they are to be answered from.

    `name` is folded and `domain` is that of our domains which it lies in: names in the answer are
    made under it. `came_from` are the aliases that led here, the first one first.
    """

    name: Labels
    type: int
    domain: Labels
    reading: Reading
    policy: Policy
    came_from: tuple[Labels, ...] = ()

    @property
    def labels(self) -> Labels:
        """The labels left of the domain."""
        return self.name[: len(self.name) - len(self.domain)]

    def datacenter(self, label: bytes | None) -> str | None:
        """Consul's spelling of the datacenter that a label names, None if there is none.

        Without a label it is the datacenter of the agent.
        """
        datacenters = self.reading.datacenters()
        return datacenters.local if label is None else datacenters.by_name.get(label)

    def ask(self, target: Labels, domain: Labels, type_: int) -> "Request":
        """The request that follows an alias."""
        came_from = (*self.came_from, self.name)
        return Request(names.fold(target), type_, domain, self.reading, self.policy, came_from)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found for a name, before a negative one gets its SOA.

    `contributions`, `authority` and `pick_one` are as in `Answer`.
    """

    outcome: Outcome
    contributions: tuple[Contribution, ...] = ()
    authority: tuple[Record, ...] = ()
    pick_one: bool = False


NODATA = Finding(Outcome.NODATA)
NXDOMAIN = Finding(Outcome.NXDOMAIN)


def found(contributions: list[Contribution], *, pick_one: bool = False) -> Finding:
    """An answer, or NODATA if nothing has a record."""
    if not contributions:
        return NODATA
    return Finding(Outcome.ANSWER, tuple(contributions), pick_one=pick_one)
