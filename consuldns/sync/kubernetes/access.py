"""How to reach a Kubernetes API: where it is, how it is trusted, and who we are to it.

Three ways, as people have them: the account of the pod that we run in, a kubeconfig file, or a
plain URL such as http://127.0.0.1:8001 (`kubectl proxy`), where somebody else says who we are.
"""

import asyncio
import base64
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from consuldns.errors import ConfigError
from consuldns.untrusted import Unreadable, read_as

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_AGE = 60.0  # seconds; kubelet replaces a token when 80 % of its life is over


class Credentials(Protocol):
    """Who we are: header fields that are sent along, and perhaps a client certificate."""

    async def headers(self) -> Mapping[str, str]:
        """Header fields for the next request. Raises ConfigError if they are unavailable."""

    def certificate(self) -> tuple[str, str] | None:
        """Our certificate and its key, in PEM."""

    def forget(self) -> None:
        """The API did not take them: get new ones for the next request."""


class NoCredentials:
    """Nobody in particular."""

    async def headers(self) -> Mapping[str, str]:
        """No header fields."""
        return {}

    def certificate(self) -> tuple[str, str] | None:
        """No certificate."""
        return None

    def forget(self) -> None:
        """There is nothing to forget."""


@dataclass
class FixedCredentials:
    """A token, a user's name and password (as a header field), or a certificate, that stay."""

    authorization: str = field(default="", repr=False)
    pem: tuple[str, str] | None = field(default=None, repr=False)

    async def headers(self) -> Mapping[str, str]:
        """The header field, if there is one."""
        return {"Authorization": self.authorization} if self.authorization else {}

    def certificate(self) -> tuple[str, str] | None:
        """The certificate, if there is one."""
        return self.pem

    def forget(self) -> None:
        """There are no others."""


@dataclass
class TokenFile:
    """A token in a file that somebody else replaces: read again after a minute, and at a 401."""

    path: Path
    pem: tuple[str, str] | None = field(default=None, repr=False)
    _token: str = field(default="", repr=False)
    _read_at: float = -TOKEN_AGE

    async def headers(self) -> Mapping[str, str]:
        """The token as a bearer."""
        if not self._token or time.monotonic() - self._read_at >= TOKEN_AGE:
            await asyncio.to_thread(self._read)
        return {"Authorization": f"Bearer {self._token}"}

    def _read(self) -> None:
        try:
            self._token = self.path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the token: {error}", where=str(self.path)) from error
        self._read_at = time.monotonic()

    def certificate(self) -> tuple[str, str] | None:
        """The certificate, if there is one."""
        return self.pem

    def forget(self) -> None:
        """Read the file again."""
        self._token = ""


@dataclass(frozen=True)
class Access:
    """Where the API is, and how to talk to it. `origin` says where all this came from.

    `content` is what was read there, and `read` reads it anew: files are replaced while we run.
    """

    url: str
    origin: str
    credentials: Credentials = field(default_factory=NoCredentials)
    authorities: str = ""  # PEM; empty: those of the system
    verify: bool = True
    server_name: str = ""  # that the certificate must have, if it is not the host of the URL
    proxy: str = ""
    account: str = ""  # as far as we know without asking
    content: bytes = field(default=b"", repr=False)
    read: "Callable[[], Access | None] | None" = field(default=None, repr=False)

    def renewed(self) -> "Access":
        """What the origin says now; this same object if it says what it said. Reads files.

        Raises ConfigError.
        """
        new = self.read() if self.read is not None else None
        return self if new is None or new.content == self.content else new

    async def account_name(self) -> str:
        """Who we are, for people: the subject of our token if it tells, else what is known."""
        authorization = (await self.credentials.headers()).get("Authorization", "")
        return _token_subject(authorization) or self.account or "unknown"

    def tls(self) -> ssl.SSLContext:
        """How TLS is to be done with the credentials that there are now. Raises ConfigError."""
        if self.url.startswith("http://") and not self.proxy:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it is not; this one trusts nobody
        try:
            context = ssl.create_default_context(cadata=self.authorities or None)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(
                f"the certificate authority cannot be used: {error}", where=self.origin
            ) from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        certificate = self.credentials.certificate()
        if certificate is not None:
            _load_certificate(context, *certificate)
        return context


def _token_subject(authorization: str) -> str:
    """`system:serviceaccount:<namespace>:<name>` of a service account's token (a JWT)."""
    parts = authorization.removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        return ""
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return str(read_as(payload, dict[str, object]).get("sub", ""))
    except (ValueError, Unreadable):
        return ""


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Give the context a certificate from memory: OpenSSL reads files only."""
    with tempfile.TemporaryDirectory(prefix="consuldns-") as folder:  # for our eyes only (0700)
        path = Path(folder) / "client.pem"
        path.write_text(f"{certificate.strip()}\n{key.strip()}\n")
        try:
            context.load_cert_chain(path)
        except ssl.SSLError as error:
            raise ConfigError(f"the client certificate cannot be used: {error}") from error


def in_cluster(environment: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Access | None:
    """The account of the pod that we run in, None outside of a cluster."""
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (account / "token").exists():
        return None
    try:
        authorities = (account / "ca.crt").read_text()
    except OSError as error:
        raise ConfigError(f"cannot read the cluster's certificate authority: {error}") from error
    bracketed = f"[{host}]" if ":" in host else host
    return Access(
        f"https://{bracketed}:{port}",
        "the account of this pod",
        TokenFile(account / "token"),
        authorities=authorities,
        content=authorities.encode(),
        read=lambda: in_cluster(environment, account),
    )


def plain_url(url: str) -> Access:
    """An API that needs no credentials, such as that of `kubectl proxy`."""
    return Access(url.rstrip("/"), "a plain URL", account="the account of the proxy")
