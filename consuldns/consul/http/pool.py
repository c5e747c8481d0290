"""Connections to one Consul agent, each used by one exchange at a time.

This is the seam for HTTP/2: the client knows nothing but `exchange`, `aclose` and the two counts. A
pool that multiplexes many blocking queries over one TLS connection takes the place of this one in
`Client.__init__`, chosen by what the server negotiated (ALPN); nothing else changes.
"""

import asyncio

from consuldns.consul.http.connection import Address, Connection, Headers, Response


class ConnectionPool:
    """At most `size` connections; exchanges beyond wait for one."""

    def __init__(self, address: Address, size: int) -> None:
        self.address = address  # where to connect to, and by which certificates
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._is_closed = False
        self.busy = 0

    @property
    def open(self) -> int:
        """Connections that are idle or in use."""
        return len(self._idle) + self.busy

    async def exchange(
        self, method: bytes, target: bytes, headers: Headers, body: bytes, max_body: int
    ) -> Response:
        """One request and its response, as `Connection.exchange`."""
        async with self._free:
            connection = self._idle.pop() if self._idle else Connection(self.address)
            self.busy += 1
            try:
                return await connection.exchange(method, target, headers, body, max_body)
            finally:
                self.busy -= 1
                if self._is_closed:
                    connection.close()
                elif connection.is_open and connection.address is self.address:
                    self._idle.append(connection)

    def reconnect(self, address: Address) -> None:
        """Use another address from now on; an exchange that is on its way ends as it began."""
        self.address = address
        while self._idle:
            self._idle.pop().close()

    async def aclose(self) -> None:
        """Close the connections that are idle, and the others after their exchange."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()
