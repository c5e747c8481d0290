"""The client over TLS: the certificate's name is that of the address, or the one that is set."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from consuldns.config.schema import ConsulSettings
from consuldns.consul.http.client import Client
from consuldns.errors import ConfigError, Unreachable
from tests.consul.scripted_server import reply

NAME = "server.dc1.consul"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `NAME` alone; its key is beside it."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


def make_certificate(file: Path) -> Path:
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    command += ["-keyout", str(file.with_suffix(".key")), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file


@asynccontextmanager
async def serving(certificate: Path) -> AsyncIterator[tuple[str, list[str | None]]]:
    """The address of a server, and the names that clients ask it for (SNI)."""
    names: list[str | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(reply())
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", names
    finally:
        server.close()


@pytest.mark.parametrize(
    ("settings", "is_trusted"),
    [
        pytest.param({"tls_server_name": NAME}, True, id="its name"),
        pytest.param({}, False, id="the address"),
        pytest.param({"tls_server_name": "other.example"}, False, id="another name"),
        pytest.param({"verify": False}, True, id="not verified"),
    ],
)
async def test_certificate(
    certificate: Path, settings: Mapping[str, str | bool], is_trusted: bool
) -> None:
    async with serving(certificate) as (address, names):
        client = Client(
            ConsulSettings(address=address, ca_file=str(certificate), **settings)  # type: ignore[arg-type]
        )
        if is_trusted:
            for _ in range(2):
                assert (await client.get("v1", "status", "leader")).body == b"[]"
            assert len(names) == 1, "one connection for both"
            assert names[0] == settings.get("tls_server_name")
        else:
            with pytest.raises(Unreachable, match="certificate verify failed"):
                await client.get("v1", "status", "leader")
        await client.aclose()


async def test_certificates_are_read_again(certificate: Path, tmp_path: Path) -> None:
    """For new connections; what cannot be used changes nothing."""
    trusted, other = tmp_path / "trusted.pem", make_certificate(tmp_path / "other.pem")
    trusted.write_bytes(certificate.read_bytes())
    async with serving(certificate) as (address, names):
        settings = ConsulSettings(address=address, ca_file=str(trusted), tls_server_name=NAME)
        client = Client(settings)

        async def ask() -> None:
            await client.get("v1", "status", "leader")

        await ask()
        trusted.write_text("not a certificate")
        with pytest.raises(ConfigError, match="a certificate cannot be used"):
            client.read_credentials_again()
        await ask()
        assert len(names) == 1, "the connection that was there"
        trusted.write_bytes(other.read_bytes())
        client.read_credentials_again()
        with pytest.raises(Unreachable, match="certificate verify failed"):
            await ask()
        trusted.write_bytes(certificate.read_bytes())
        client.read_credentials_again()
        await ask()
        await client.aclose()
