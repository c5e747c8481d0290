"""A handler with a store, a clock that the test moves, and a list of the views it asked for."""

from collections.abc import Callable
from random import Random

import dns.message

from consuldns.dns import resolver
from consuldns.dns.policy import Policy
from consuldns.server.handler import Handler, Pending, Resolve, Unanswered
from consuldns.server.listen import Transport
from consuldns.views.store import ViewStore
from tests.support.catalog import Catalog
from tests.wire import packets
from tests.wire.packets import CLIENT

CATALOG = Catalog(
    register=[
        {
            "Node": f"n{number}",
            "Address": f"10.0.0.{number}",
            "NodeMeta": {"rack": str(number)},
            "Service": {"Service": "web", "Port": 80, "Tags": ["v1"]},
        }
        for number in (1, 2, 3)
    ]
    + [
        {
            "Node": f"m{number}",
            "Address": f"10.1.{number // 250}.{number % 250}",
            "Service": {"Service": "many", "Port": 80},
        }
        for number in range(1, 101)
    ]
)


class Worker:
    """What a worker process is made of, without the process."""

    def __init__(
        self,
        store: ViewStore | None = None,
        *,
        resolve: Resolve = resolver.resolve,
        need: Callable[[Pending], None] | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.now = 1000.0
        self.needed: list[Pending] = []
        self.late: list[bytes] = []  # replies to pending queries
        self.store = CATALOG.views() if store is None else store
        self.handler = Handler(
            self.store,
            policy or Policy(),
            need=need or self.needed.append,
            randomness=Random(1),
            clock=lambda: self.now,
            resolve=resolve,
        )

    def ask(
        self, packet: bytes, transport: Transport = Transport.UDP, client: bytes = CLIENT
    ) -> bytes | Unanswered:
        """What a listener does with a packet."""
        found = self.handler.find_from(packet, transport is Transport.TCP, client)
        return found or self.handler.handle(packet, transport, self.late.append, client=client)

    def reply(self, packet: bytes, transport: Transport = Transport.UDP) -> dns.message.Message:
        """The reply to a packet, as dnspython reads it."""
        return packets.parse(self.ask(packet, transport))
