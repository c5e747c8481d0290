"""The state of the agent as a whole. Pure and synchronous; the clock is given."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from consuldns.agent.catalog import Catalog
from consuldns.agent.gateways import Gateways
from consuldns.agent.kv import KeyValues
from consuldns.agent.local import LocalServices
from consuldns.agent.queries import Queries
from consuldns.agent.records import PASSING, Check, Node, Service
from consuldns.agent.sessions import MIN_TTL, Sessions
from consuldns.agent.tables import Database

SERVER_PORT = 8300
"""Where the service `consul` says that the server listens, as a real one does; nothing does."""


class State:
    """Catalog, KV store, sessions and the agent's own services, in one datacenter.

    `clock` gives seconds that never go back. `session_ttl_min` is the shortest TTL of a session in
    seconds, a setting of Consul of the same name.
    """

    def __init__(
        self,
        *,
        datacenter: str,
        node: str,
        clock: Callable[[], float],
        session_ttl_min: float = MIN_TTL,
    ) -> None:
        self.datacenter = datacenter
        self.node = node
        self.node_id = str(uuid.uuid4())
        self.database = Database()
        self.gateways = Gateways(self.database)
        self.catalog = Catalog(self.database, self.gateways, datacenter)
        self.kv = KeyValues(self.database, clock)
        self.sessions = Sessions(self.database, self.catalog, self.kv, clock, session_ttl_min)
        self.queries = Queries(self.database, self.catalog)
        self.local = LocalServices(self.catalog, node, clock)
        self._register_itself()

    @contextmanager
    def change(self) -> Iterator[None]:
        """All that is written inside becomes visible together, or nothing if it raises."""
        with self.database.change():
            yield
            self.sessions.end_broken()

    def expire(self) -> None:
        """End the sessions and fail the checks whose time is up."""
        with self.change():
            self.sessions.end_expired()
            self.local.expire_checks()

    def next_deadline(self) -> float | None:
        """When `expire` will have something to do, on the clock; None: never, as things are."""
        deadlines = (self.sessions.next_deadline(), self.local.next_deadline())
        return min((each for each in deadlines if each is not None), default=None)

    def _register_itself(self) -> None:
        """What a server registers of itself: its node, its health, the service `consul`."""
        addresses = dict.fromkeys(("lan", "lan_ipv4", "wan", "wan_ipv4"), "127.0.0.1")
        with self.change():
            self.catalog.set_node(
                Node(
                    id=self.node_id,
                    node=self.node,
                    address="127.0.0.1",
                    tagged_addresses=addresses,
                    meta={"consul-network-segment": ""},
                )
            )
            self.catalog.set_service(
                self.node, Service(id="consul", service="consul", port=SERVER_PORT)
            )
            self.catalog.set_check(
                Check(
                    node=self.node,
                    check_id="serfHealth",
                    name="Serf Health Status",
                    status=PASSING,
                    output="Agent alive and reachable",
                )
            )
