"""Config entries of gateways: which services an ingress or terminating gateway stands for.

Entries are kept as they were written; of other kinds of config entries this agent knows nothing.
"""

from typing import Any

import msgspec

from consuldns.agent.records import Refused, consul_name
from consuldns.agent.tables import Database, Table

INGRESS, TERMINATING = "ingress-gateway", "terminating-gateway"


class LinkedService(msgspec.Struct, frozen=True, rename=consul_name):
    """A service behind a gateway."""

    name: str = ""


class Listener(msgspec.Struct, frozen=True, rename=consul_name):
    """A listener of an ingress gateway."""

    services: list[LinkedService] | None = None


class GatewayEntry(msgspec.Struct, frozen=True, rename=consul_name):
    """What is read of a config entry."""

    kind: str = ""
    name: str = ""
    services: list[LinkedService] | None = None
    listeners: list[Listener] | None = None

    @property
    def linked(self) -> frozenset[str]:
        """The folded names of the services behind the gateway."""
        lists = [self.services, *(each.services for each in self.listeners or [])]
        return frozenset(service.name.lower() for one in lists for service in one or [])


class Gateways:
    """Config entries by kind and name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: Table[tuple[str, str], dict[str, Any]] = database.table()

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The entry as it was written, with its indexes."""
        return self._entries.get((kind, name.lower()))

    def put(self, written: dict[str, Any]) -> None:
        """Write an entry. Raises Refused for a kind that is no gateway's, or without a name."""
        entry = _read(written)
        if entry.kind not in (INGRESS, TERMINATING):
            problem = f"invalid config entry kind: {entry.kind}"
            raise Refused(f"Bad request: Request decoding failed: {problem}", 400)
        if not entry.name:
            raise Refused("failed inserting config entry: object missing primary index")
        old = self.get(entry.kind, entry.name)
        index = self._database.next_index
        created = old["CreateIndex"] if old is not None else index
        new = written | {"CreateIndex": created, "ModifyIndex": index}
        self._touch(old)
        self._touch(new)
        self._entries.put((entry.kind, entry.name.lower()), new)

    def delete(self, kind: str, name: str) -> None:
        """Delete an entry, if it is there."""
        self._touch(self.get(kind, name))
        self._entries.remove((kind, name.lower()))

    def of(self, kind: str, service: str) -> frozenset[str]:
        """The folded names of the gateways of a kind that stand for a service."""
        return frozenset(
            name
            for (each, name), entry in self._entries.items()
            if each == kind and service.lower() in _read(entry).linked
        )

    def behind(self, kind: str, name: str) -> frozenset[str]:
        """The folded names of the services behind a gateway."""
        entry = self.get(kind, name)
        return _read(entry).linked if entry is not None else frozenset()

    def _touch(self, written: dict[str, Any] | None) -> None:
        if written is not None:
            entry = _read(written)
            topic = "ingress" if entry.kind == INGRESS else "connect"
            self._database.touch(*((topic, service) for service in entry.linked))


def _read(written: dict[str, Any]) -> GatewayEntry:
    try:
        return msgspec.convert(written, GatewayEntry)
    except msgspec.ValidationError as error:
        raise Refused(f"Bad request: Request decoding failed: {error}", 400) from None
