"""Credentials from a program: the exec plugins of kubeconfig files.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
Both versions of the protocol that are in use, v1 and v1beta1. The program is run without a terminal
(`interactiveMode` Always is refused), and again when its credentials expire or are not taken.
"""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from consuldns.errors import ConfigError
from consuldns.untrusted import Unreadable, read_as

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
MAX_OUTPUT = 1 << 20  # octets: a token and a certificate have a few thousand
OUR_OWN = ("CONSUL_", "CONSULDNS_", "CREDENTIALS_DIRECTORY")  # variables that hold our secrets
LONGEST_RUN = 60.0  # seconds; plugins of cloud providers take one to ten
EARLY = timedelta(seconds=10)  # before they expire, credentials are replaced


class _Part(msgspec.Struct, rename="camel", omit_defaults=True):
    """A part of the protocol."""


class EnvironmentVariable(_Part):
    """A variable for the program."""

    name: str
    value: str


class ExecCommand(_Part):
    """`exec` of a kubeconfig's user."""

    command: str
    api_version: str = ""
    args: list[str] | None = None
    env: list[EnvironmentVariable] | None = None
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class ExecStatus(_Part):
    """What the program gives."""

    expiration_timestamp: datetime | None = None
    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""


class ExecCredential(_Part):
    """What the program writes."""

    api_version: str = ""
    kind: str = ""
    status: ExecStatus | None = None


@dataclass(frozen=True)
class ClusterInfo:
    """What a program with `provideClusterInfo` is given. `authorities` is PEM."""

    server: str
    authorities: str
    insecure_skip_tls_verify: bool
    tls_server_name: str

    def described(self) -> dict[str, object]:
        """The cluster in the protocol's terms."""
        described: dict[str, object] = {
            "server": self.server,
            "insecure-skip-tls-verify": self.insecure_skip_tls_verify,
        }
        if self.authorities:
            encoded = msgspec.json.decode(msgspec.json.encode(self.authorities.encode()))
            described["certificate-authority-data"] = encoded  # bytes are base64 in JSON
        if self.tls_server_name:
            described["tls-server-name"] = self.tls_server_name
        return described


class ExecCredentials:
    """Credentials that a program gives, kept until they expire or are refused."""

    def __init__(self, command: ExecCommand, folder: Path, cluster: ClusterInfo) -> None:
        """`folder` is where the kubeconfig is: a command with a slash is relative to it."""
        if command.api_version not in VERSIONS:
            raise ConfigError(
                f"exec plugin {command.command!r} has apiVersion {command.api_version!r}",
                hint="one of " + ", ".join(VERSIONS),
            )
        if command.interactive_mode == "Always":
            raise ConfigError(
                f"exec plugin {command.command!r} requires a terminal, but there is none"
            )
        self._command, self._folder, self._cluster = command, folder, cluster
        self._status: ExecStatus | None = None
        self._running = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        """The program's token as a bearer."""
        async with self._running:  # several watches ask at once when it expires
            if self._status is None or self._has_expired():
                self._status = await self._run()
        return {"Authorization": f"Bearer {self._status.token}"} if self._status.token else {}

    def certificate(self) -> tuple[str, str] | None:
        """The program's certificate, once it has run."""
        if self._status is None or not self._status.client_certificate_data:
            return None
        return self._status.client_certificate_data, self._status.client_key_data

    def forget(self) -> None:
        """Run the program again."""
        self._status = None

    def _has_expired(self) -> bool:
        expires = self._status.expiration_timestamp if self._status else None
        return expires is not None and expires <= datetime.now(UTC) + EARLY

    async def _run(self) -> ExecStatus:
        program = self._command.command
        if "/" in program:
            program = str(self._folder / program)
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *(self._command.args or ()),
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise ConfigError(
                f"exec plugin {program!r} cannot be run: {error.strerror}",
                hint=self._command.install_hint,
            ) from error
        try:
            async with asyncio.timeout(LONGEST_RUN):
                output, errors_text = await asyncio.gather(
                    _read_all(process.stdout), _read_all(process.stderr)
                )
                await process.wait()
        except TimeoutError as error:
            raise ConfigError(
                f"exec plugin {program!r} did not finish within {LONGEST_RUN:g} s"
            ) from error
        finally:
            if process.returncode is None:
                await _end(process)
        if max(len(output), len(errors_text)) > MAX_OUTPUT:
            raise ConfigError(f"exec plugin {program!r} wrote more than {MAX_OUTPUT} octets")
        if process.returncode != 0:
            said = errors_text.decode(errors="replace").strip()[-300:]
            raise ConfigError(f"exec plugin {program!r} failed ({process.returncode}): {said}")
        return self._read(output)

    def _environment(self) -> dict[str, str]:
        """Ours but for our secrets, the plugin's own variables, what the protocol tells it."""
        spec: dict[str, object] = {"interactive": False}
        if self._command.provide_cluster_info:
            spec["cluster"] = self._cluster.described()
        info = {
            "apiVersion": self._command.api_version,
            "kind": "ExecCredential",
            "spec": spec,
        }
        given = {each.name: each.value for each in self._command.env or ()}
        return {
            **{name: each for name, each in os.environ.items() if not name.startswith(OUR_OWN)},
            **given,
            "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode(),
        }

    def _read(self, output: bytes) -> ExecStatus:
        program = self._command.command
        try:
            credential = read_as(output, ExecCredential)
        except Unreadable as error:
            raise ConfigError(
                f"exec plugin {program!r} did not write an ExecCredential: {error}"
            ) from error
        if credential.api_version != self._command.api_version:
            raise ConfigError(
                f"exec plugin {program!r} wrote {credential.api_version!r}, "
                f"not {self._command.api_version!r} as in the kubeconfig"
            )
        status = credential.status or ExecStatus()
        has_certificate = bool(status.client_certificate_data)
        if has_certificate != bool(status.client_key_data):
            raise ConfigError(
                f"exec plugin {program!r} returned a certificate without a key, or a key"
            )
        if not status.token and not has_certificate:
            raise ConfigError(f"exec plugin {program!r} returned neither a token nor a certificate")
        return status


async def _read_all(stream: asyncio.StreamReader | None) -> bytes:
    """What the program writes until it ends; of too much only so much that this can be seen."""
    assert stream is not None
    content = b""
    while piece := await stream.read(1 << 16):
        if len(content) <= MAX_OUTPUT:
            content += piece
    return content


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the program. Its pipes are emptied, without which asyncio does not see its end."""
    process.kill()
    with suppress(TimeoutError):  # programs that it started may hold them open
        async with asyncio.timeout(1):
            await asyncio.gather(_read_all(process.stdout), _read_all(process.stderr))
            await process.wait()
