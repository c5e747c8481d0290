"""Requests to one API server: connections, credentials that are renewed, errors by status.

HTTP/1.1 on purpose: over HTTP/2 one stuck connection would take every watch with it.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping

import httpx

from consuldns import untrusted
from consuldns.errors import ConfigError, KubernetesError
from consuldns.sync.kubernetes import errors
from consuldns.sync.kubernetes.access import Access
from consuldns.sync.kubernetes.objects import Status
from consuldns.untrusted import Part, Unreadable

CONNECT = 10.0  # seconds
LONGEST_WAIT = 300.0  # seconds that a server may make us wait

# A peer that vanished without a word is noticed by the kernel within 30 s.
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", socket.TCP_KEEPINTVL), 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


class APIConnection:
    """The connections to one API server. Close it after use.

    `access` is replaced by what its origin says when it is no longer accepted.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._client: httpx.AsyncClient | None = None
        self._made_for: object = None
        self._in_use: Counter[httpx.AsyncClient] = Counter()  # requests
        self._renewing = asyncio.Lock()
        self._connecting = asyncio.Lock()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()

    def read_again(self) -> None:
        """Read everything from its origin again, for the next request. Raises ConfigError."""
        self.access.credentials.forget()
        self.access = self.access.renewed()

    @contextlib.asynccontextmanager
    async def request(
        self, path: str, parameters: dict[str, str], silence: float
    ) -> AsyncIterator[httpx.Response]:
        """A GET, its errors mapped; a 401 is tried once more with what the origin says then."""
        for attempt in (1, 2):
            access = self.access
            headers = await access.credentials.headers()
            try:
                async with (
                    self._connected(access) as client,
                    _sent(client, access, path, parameters, headers, silence) as response,
                ):
                    code = response.status_code
                    if code == 200:
                        yield response
                        return
                    problem = _problem(access, path, response, await response.aread())
            except httpx.HTTPError as error:
                await self._renew(access, headers if _is_tls(error) else None)
                said = str(error) or type(error).__name__
                raise errors.Unreachable(
                    f"the Kubernetes API at {access.url} is unreachable: {said}. Is it running, "
                    f"and is this its address? It is from {access.origin}"
                ) from error
            if code != 401 or attempt == 2:
                raise problem
            unread = await self._renew(access, headers)
            if unread is not None:
                raise errors.Unauthorized(f"{problem}; it cannot be read again: {unread}")

    async def _renew(self, used: Access, refused: Mapping[str, str] | None) -> ConfigError | None:
        """Read from the origin again what was refused; what is wrong with it, if anything.

        `refused`: the header fields that were not taken, None if they were not what is wrong. Of
        several requests that failed together, one renews.
        """
        async with self._renewing:
            if self.access is not used:
                return None
            try:
                self.access = await asyncio.to_thread(used.renewed)
                if self.access is not used or refused is None:
                    return None
                if refused == await used.credentials.headers():
                    used.credentials.forget()
            except ConfigError as error:
                return error
            return None

    @contextlib.asynccontextmanager
    async def _connected(self, access: Access) -> AsyncIterator[httpx.AsyncClient]:
        """The HTTP client; a new one if it must be connected otherwise than so far.

        The one before is closed when its last request has ended: what it watches goes on.
        """
        async with self._connecting:
            wanted = (
                access.url,
                access.authorities,
                access.verify,
                access.proxy,
                access.credentials.certificate(),
            )
            client = self._client
            if client is None or wanted != self._made_for:
                # Reading the system's authorities takes 20 ms: not on the loop's time.
                new = _http_client(access, await asyncio.to_thread(access.tls))
                self._client, self._made_for = new, wanted
                if client is not None and not self._in_use[client]:
                    await client.aclose()
                client = new
            self._in_use[client] += 1
        try:
            yield client
        finally:
            self._in_use[client] -= 1
            if not self._in_use[client]:
                del self._in_use[client]
                if client is not self._client:
                    await client.aclose()


@contextlib.asynccontextmanager
async def _sent(
    client: httpx.AsyncClient,
    access: Access,
    path: str,
    parameters: Mapping[str, str],
    headers: Mapping[str, str],
    silence: float,
) -> AsyncIterator[httpx.Response]:
    try:
        request = client.build_request(
            "GET",
            path,
            params=parameters,
            headers=headers,
            timeout=httpx.Timeout(CONNECT, read=silence),
            extensions={"sni_hostname": access.server_name} if access.server_name else {},
        )
    except UnicodeEncodeError as error:
        raise ConfigError("the credentials are not ASCII", where=access.origin) from error
    response = await client.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


def _http_client(access: Access, tls: ssl.SSLContext) -> httpx.AsyncClient:
    headers = {
        "User-Agent": "consuldns-sync",
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # a compressed watch holds events back
    }
    try:
        transport = httpx.AsyncHTTPTransport(
            verify=tls,
            proxy=httpx.Proxy(access.proxy) if access.proxy else None,
            limits=httpx.Limits(max_connections=None),  # a watch of each kind in each namespace
            socket_options=_KEEPALIVE,
        )
        return httpx.AsyncClient(base_url=access.url, transport=transport, headers=headers)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigError(f"not a valid URL: {error}", where=access.origin) from error


def _is_tls(error: BaseException | None) -> bool:
    """Whether it was TLS that failed, such as by a certificate that has expired."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def read_status(content: Part) -> Status:
    """What the API says went wrong, as far as it can be read."""
    try:
        return untrusted.read_as(content, Status)
    except Unreadable:
        return Status(message=bytes(content)[:200].decode(errors="replace"))


_REMEDIES = {
    401: "the credentials of {origin} are not accepted. Renew them there; they will be read again",
    403: "docs/kubernetes.md lists the permissions that the worker needs",
    404: "is this the URL of a Kubernetes API that serves this resource? It is from {origin}",
}


def _problem(access: Access, path: str, response: httpx.Response, body: bytes) -> KubernetesError:
    """The error that a response with another status than 200 is."""
    code = response.status_code
    status = read_status(body)
    after = response.headers.get("retry-after", "")
    remedy = _REMEDIES.get(code, "").format(origin=access.origin)
    said = "; ".join(filter(None, (status.message, remedy)))
    wait = min(float(after), LONGEST_WAIT) if after.isascii() and after.isdecimal() else 0.0
    return error_of(code, said, status.reason, wait, f"{access.url}{path}")


def error_of(
    code: int, message: str, reason: str, retry_after: float = 0.0, where: str = "Kubernetes API"
) -> KubernetesError:
    """The error that a status means, whether it came as such or as an event."""
    text = f"{where}: {code} {reason}: {message}"
    if code == 410 or reason in ("Expired", "Gone"):
        return errors.Gone(text)
    if code == 504:
        return errors.StaleServer(text)
    if code in (429, 503):
        return errors.Throttled(text, retry_after)
    by_code = {401: errors.Unauthorized, 403: errors.Forbidden, 404: errors.UnknownResource}
    return by_code.get(code, errors.BadResponse)(text)
