"""Config entries of gateways: which services an ingress or terminating gateway stands for.

Entries are kept as they were written; of other kinds of config entries this agent knows nothing.
"""

from typing import Any

from consuldns.agent.records import Refused
from consuldns.agent.tables import Database, Table

INGRESS, TERMINATING = "ingress-gateway", "terminating-gateway"


def linked_services(entry: dict[str, Any]) -> frozenset[str]:
    """The folded names of the services behind a gateway."""
    lists = [entry] if entry["Kind"] == TERMINATING else entry.get("Listeners") or []
    return frozenset(each["Name"].lower() for one in lists for each in one.get("Services") or [])


class Gateways:
    """Config entries by kind and name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: Table[tuple[str, str], dict[str, Any]] = database.table()

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The entry as it was written, with its indexes."""
        return self._entries.get((kind, name.lower()))

    def put(self, entry: dict[str, Any]) -> None:
        """Write an entry. Raises Refused for a kind that is no gateway's, or without a name."""
        kind, name = entry.get("Kind"), entry.get("Name")
        if kind not in (INGRESS, TERMINATING):
            text = f"Bad request: Request decoding failed: invalid config entry kind: {kind}"
            raise Refused(text, 400)
        if not name:
            raise Refused("failed inserting config entry: object missing primary index")
        old = self.get(kind, name)
        index = self._database.next_index
        created = old["CreateIndex"] if old is not None else index
        new = entry | {"CreateIndex": created, "ModifyIndex": index}
        self._touch(old)
        self._touch(new)
        self._entries.put((kind, name.lower()), new)

    def delete(self, kind: str, name: str) -> None:
        """Delete an entry, if it is there."""
        self._touch(self.get(kind, name))
        self._entries.remove((kind, name.lower()))

    def of(self, kind: str, service: str) -> frozenset[str]:
        """The folded names of the gateways of a kind that stand for a service."""
        return frozenset(
            name
            for (each, name), entry in self._entries.items()
            if each == kind and service.lower() in linked_services(entry)
        )

    def behind(self, kind: str, name: str) -> frozenset[str]:
        """The folded names of the services behind a gateway."""
        entry = self.get(kind, name)
        return linked_services(entry) if entry is not None else frozenset()

    def _touch(self, entry: dict[str, Any] | None) -> None:
        if entry is not None:
            topic = "ingress" if entry["Kind"] == INGRESS else "connect"
            self._database.touch(*((topic, service) for service in linked_services(entry)))
