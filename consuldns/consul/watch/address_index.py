"""Which service has an address: the index that PTR answers come from.

Consul has no request for that, so the instances of all services are read one after the other, in
the background. Pure bookkeeping; `address_indexer` does the reading.
"""

from collections import OrderedDict
from collections.abc import Iterable
from sys import intern

from consuldns.names import registered_address
from consuldns.views import model, reverse_names

# Whether the instance is a Kubernetes cluster's (those go last); node and instance id, folded, by
# which Consul orders; service.
AddressOwner = tuple[bool, str, str, str]
AddressOwners = dict[bytes, tuple[AddressOwner, ...]]


class AddressBook:
    """The addresses of all instances, and how up to date they are. Times in seconds."""

    def __init__(self) -> None:
        self._owners: AddressOwners = {}
        self._addresses: dict[str, tuple[bytes, ...]] = {}  # by folded name of the service
        self._first: dict[bytes, str] = {}
        self._of_clusters: dict[bytes, tuple[str, ...]] = {}
        self._others: dict[bytes, tuple[str, ...]] = {}
        self._read_at: OrderedDict[str, float] = OrderedDict()  # oldest first
        self._unread: set[str] = set()
        self._moved_at = float("-inf")
        self.is_changed = False

    def __len__(self) -> int:
        return len(self._owners)

    def list_services(self, names: Iterable[str]) -> None:
        """Which services there are: those that have gone are dropped, new ones are to be read."""
        present = {name.lower() for name in names}
        for service in [known for known in self._read_at if known not in present]:
            del self._read_at[service]
            self._unread.discard(service)
            self._replace(service, {})
        for service in present - self._read_at.keys():
            self._unread.add(service)
            self._read_at[service] = float("-inf")
            self._read_at.move_to_end(service, last=False)

    def moved(self, now: float) -> None:
        """Some service has changed, nobody knows which."""
        self._moved_at = now

    def next_service(self) -> str | None:
        """The folded name of the service to read next, None if the index is up to date."""
        service, read_at = next(iter(self._read_at.items()), (None, 0.0))
        return service if read_at <= self._moved_at else None

    @property
    def is_complete(self) -> bool:
        """Whether every service has been read."""
        return bool(self._read_at) and not self._unread

    def skip(self, service: str, now: float) -> None:
        """The service is not to be read until the next change. What is known of it is kept."""
        if service in self._read_at:
            self._unread.discard(service)
            self._read_at[service] = now
            self._read_at.move_to_end(service)

    def retry(self, service: str) -> None:
        """The service is to be read without waiting for a change, before others."""
        if self._read_at.get(service, self._moved_at) > self._moved_at:
            self._read_at[service] = self._moved_at
            self._read_at.move_to_end(service, last=False)

    def take(self, service: str, view: model.Instances, began: float) -> None:
        """The instances of a service, from a reading that began then."""
        if service not in self._read_at:
            return
        self._unread.discard(service)
        self._read_at[service] = began
        self._read_at.move_to_end(service)
        first: dict[tuple[bytes, bool], AddressOwner] = {}
        for instance in view.instances:
            address = registered_address(instance.address)
            if address is not None:
                node, is_marked = intern(instance.node.name.lower()), instance.is_marked
                owner = (is_marked, node, instance.id.lower(), instance.service)
                key = address.packed, is_marked
                first[key] = min(owner, first.get(key, owner))
        owners: AddressOwners = {}
        for (packed, _), owner in sorted(first.items()):
            owners[packed] = (*owners.get(packed, ()), owner)
        self._replace(service, owners)

    def _replace(self, service: str, owners: AddressOwners) -> None:
        if self._owners_of(service) == owners:
            return
        for packed in self._addresses.pop(service, ()):
            others = tuple(each for each in self._owners[packed] if each[3].lower() != service)
            self._set_owners(packed, others)
        for packed, own in owners.items():
            self._set_owners(packed, (*self._owners.get(packed, ()), *own))
        if owners:
            self._addresses[service] = tuple(owners)

    def _owners_of(self, service: str) -> AddressOwners:
        return {
            packed: tuple(each for each in self._owners[packed] if each[3].lower() == service)
            for packed in self._addresses.get(service, ())
        }

    def _set_owners(self, packed: bytes, owners: tuple[AddressOwner, ...]) -> None:
        self._owners.pop(packed, None)
        self._first.pop(packed, None)
        self._of_clusters.pop(packed, None)
        self._others.pop(packed, None)
        if owners:
            self._owners[packed] = owners
        others = [each for each in owners if not each[0]]
        if others:
            first, *rest = dict.fromkeys(each[3] for each in sorted(others))
            self._first[packed] = first
            if rest:
                self._others[packed] = tuple(rest)
        marked = sorted({each[3] for each in owners if each[0]})
        if marked:
            self._of_clusters[packed] = tuple(marked)
        self.is_changed = True

    def index(self) -> reverse_names.AddressIndex:
        """The first instance of each address, in Consul's order: by node, then by id."""
        self.is_changed = False
        return reverse_names.AddressIndex(
            0, dict(self._first), dict(self._of_clusters), dict(self._others)
        )
