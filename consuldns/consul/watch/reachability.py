"""Whether Consul is reachable. One prober for all: an outage costs about a request a second."""

import asyncio
import logging

from consuldns.backoff import Backoff, jittered
from consuldns.consul.http import replies
from consuldns.consul.http.client import Client
from consuldns.errors import ConsulError, Unreachable
from consuldns.incidents import Incidents

_log = logging.getLogger(__name__)

NO_CONTACT = "Consul is unreachable"
RETRY_SECONDS = (
    0.8  # at most half of it less by chance; Consul must be seen well within 2 s of its return
)
# Together at most 5 s: so soon, answers say that they are stale when Consul falls silent.
CHECK_SECONDS = 2.0  # from one probe to the next, give or take a fifth
PROBE_DEADLINE_SECONDS = 2.5


class Reachability:
    """Asks who is leader: needs no token, and no answer is good unless there is one."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._suspected = asyncio.Event()
        self._incidents = Incidents(_log)
        self._backoff = Backoff(RETRY_SECONDS, RETRY_SECONDS)
        self._last_at: float | None = None

    def suspect(self) -> None:
        """A request has failed: find out whether that is all."""
        self._suspected.set()

    def seconds_since_last(self) -> float | None:
        """How long ago a probe was answered, None if none ever was."""
        if self._last_at is None:
            return None
        return asyncio.get_running_loop().time() - self._last_at

    async def wait_until_reached(self) -> None:
        """Probe until Consul answers; one line of log when it does not, one when it does again."""
        while True:
            try:
                await self._probe()
            except ConsulError as error:
                self._incidents.began(NO_CONTACT, error)
                await self._backoff.pause()
            else:
                address = self._client.settings.address
                self._incidents.ended(NO_CONTACT, f"over, {address} answers again")
                return

    async def wait_until_lost(self) -> Unreachable:
        """Probe now and then, and when in doubt; gives the error that shows the loss."""
        while True:
            try:
                async with asyncio.timeout(jittered(CHECK_SECONDS, 0.2)):
                    await self._backoff.pause()
                    await self._suspected.wait()
            except TimeoutError:
                pass
            self._suspected.clear()
            try:
                await self._probe()
            except ConsulError as error:
                self._incidents.began(NO_CONTACT, error, "answering from memory")
                return Unreachable(str(error))

    async def _probe(self) -> None:
        reply = await self._client.get("v1", "status", "leader", deadline=PROBE_DEADLINE_SECONDS)
        if not replies.decode(reply.body, str):
            raise Unreachable("Consul has no leader")
        self._last_at = asyncio.get_running_loop().time()
