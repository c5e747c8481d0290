"""`consuldns dev`: an embedded Consul agent, and DNS in front of it, to try consuldns."""

import asyncio
import os

import click

from consuldns.cli import hold_signals
from consuldns.cli.options import setting_option
from consuldns.config.load import load
from consuldns.config.schema import Settings
from consuldns.config.values import HOST_PORT
from consuldns.errors import ConfigError
from consuldns.sockets import HostPort

# Consul's own ports, so that commands in documents about Consul work unchanged.
HTTP_ADDRESS = "127.0.0.1:8500"
DNS_ADDRESS = "127.0.0.1:8600"


@click.command()
@click.option(
    "--http-addr",
    metavar="ADDR:PORT",
    default=HTTP_ADDRESS,
    help=f"Address of the agent's HTTP API.  [default: {HTTP_ADDRESS}]",
)
@setting_option("listen", "ADDR:PORT", default=DNS_ADDRESS, multiple=True)
@setting_option("admin_addr", "ADDR:PORT")
@setting_option("log_level", "LEVEL")
@setting_option("log_format", "FORMAT")
@click.option("--no-sample", is_flag=True, help="Start with an empty catalog.")
def command(
    http_addr: str,
    listen: tuple[str, ...],
    admin_addr: str | None,
    log_level: str | None,
    log_format: str | None,
    no_sample: bool,
) -> None:
    """Try consuldns: an embedded Consul agent with sample services, and DNS.

    The agent implements Consul's HTTP API and keeps everything in memory: nothing is saved. Runs
    until Ctrl-C; prints 'ready' when it can answer queries. Reads no file, and only environment
    variables that begin with CONSULDNS_.

    Example: consuldns dev --http-addr 127.0.0.1:8500 --listen 127.0.0.1:8600
    """
    hold_signals()
    agent = _agent_address(http_addr)
    settings = load(
        environment={k: v for k, v in os.environ.items() if k.startswith("CONSULDNS_")},
        flags={
            "listen": listen,
            "consul.address": f"http://{agent}",
            "admin_addr": admin_addr,
            "log_level": log_level,
            "log_format": log_format,
        },
        defaults={"listen": DNS_ADDRESS, "workers": 1},
    ).settings
    asyncio.run(_serve(agent, settings, sample=not no_sample))


async def _serve(agent: HostPort, settings: Settings, *, sample: bool) -> None:
    # Not at the top: help and completion must not wait for the server's imports.
    from consuldns.agent import serving
    from consuldns.process.control import Control

    control = Control(lambda: settings)
    async with serving.serve(agent, sample=sample) as embedded:
        click.echo(embedded.announcement, err=True)
        if sample:
            click.echo("Try, in another shell:", err=True)
            for line in _walk_through(embedded.url, settings.listen[0]):
                click.echo(f"    {line}", err=True)
        await control.run()


def _walk_through(agent: str, dns: HostPort) -> tuple[str, ...]:
    """Commands to copy: query a sample service, add a reverse entry, query it, read its key."""
    dig, kv = f"dig @{dns.host} -p {dns.port}", f"{agent}/v1/kv"
    name, address = "monitoring-heapster.service.dc1.consul", "10.254.70.176"
    return (
        f"{dig} {name}. ANY",
        f"curl -X PUT -d '{name}' {kv}/0.70.254.10.IN-ADDR.ARPA/{address}",
        f"{dig} -x {address}",
        f"curl '{kv}/?recurse'",
    )


def _agent_address(text: str) -> HostPort:
    try:
        return HOST_PORT.read(text)
    except ValueError as error:
        raise ConfigError(f"the address {error}", where="--http-addr") from error
