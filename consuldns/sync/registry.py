"""What the worker needs of Consul. `consuldns.consul.catalog` has it; tests may have another.

Everything raises ConsulError. Reads are consistent ones: what they say is what has been written.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from consuldns.consul.operations import Lock, Node, Operation, StoredInstance, StoredKey


class Registry(Protocol):
    """Consul's catalog, KV tree and sessions."""

    def read_token_again(self) -> bool:
        """Read the token's file again; whether the token is another."""

    async def datacenter(self) -> str:
        """The datacenter of the agent that is asked."""

    async def version(self) -> str:
        """Consul's version and the agent's name, for people."""

    async def node(self, name: str) -> Node | None:
        """A node of the catalog."""

    async def kubernetes_nodes(self) -> list[Node]:
        """The nodes that say that their instances come from Kubernetes, by us or by consul-k8s."""

    def instances(self, node: str) -> AsyncIterator[StoredInstance]:
        """All instances on a node. One whose check passes, or that has none, is passing."""

    def keys(self, prefix: str) -> AsyncIterator[StoredKey]:
        """All keys that begin so."""

    async def key(
        self, path: str, *, after: int = 0, wait: float = 0
    ) -> tuple[StoredKey | None, int]:
        """A key, and the index to wait after. With `after`, wait that long for a change."""

    async def service_names(self) -> frozenset[str]:
        """The names of all services of the catalog, in lower case."""

    async def changed(self, resource: str, *, after: int, wait: float) -> int:
        """Wait until a node's instances (`node:<name>`) or keys (`keys:<prefix>`) may have changed.

        Returns the index to wait after. It may be lower than `after`, and may come early.
        """

    async def apply(self, operations: Sequence[Operation], lock: Lock | None) -> list[int]:
        """Do all operations or none. Returns the index of what each left behind, 0 for removals.

        Raises LockLost if the lock is not held any more, else TransactionRefused, without reasons
        if Consul did not say which operation it does not like.
        """

    async def create_session(self, node: str, name: str, ttl: int) -> str:
        """A session; the keys that it holds vanish with it, and are free at once.

        It ends `ttl` to twice `ttl` seconds after its last renewal, or with the node.
        """

    async def session_name(self, session: str) -> str | None:
        """The name that a session was given; None: there is no such session."""

    async def renew_session(self, session: str) -> bool:
        """Whether the session still is there."""

    async def destroy_session(self, session: str) -> None:
        """End a session."""

    async def acquire(self, path: str, value: bytes, session: str) -> bool:
        """Lock a key; whether the session holds it now."""

    async def release(self, path: str, session: str) -> None:
        """Unlock and remove a key that the session holds."""
