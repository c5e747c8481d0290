"""`consuldns serve`: serve DNS for an existing Consul."""

import asyncio
from pathlib import Path

import click

from consuldns.cli import hold_signals
from consuldns.cli.options import config_option, configuration, setting_option


@click.command()
@setting_option("listen", "ADDR:PORT", multiple=True)
@setting_option("consul.address", "URL")
@config_option
@setting_option("workers", "N")
@setting_option("admin_addr", "ADDR:PORT")
@setting_option("log_level", "LEVEL")
@setting_option("log_format", "FORMAT")
def command(
    listen: tuple[str, ...],
    consul_addr: str | None,
    file: Path | None,
    workers: str | None,
    admin_addr: str | None,
    log_level: str | None,
    log_format: str | None,
) -> None:
    """Serve DNS for an existing Consul.

    Runs until SIGTERM or SIGINT (Ctrl-C). Prints 'ready' when it can answer queries. On SIGHUP it
    reads the settings of [dns], tokens and credentials again, on SIGUSR1 it logs statistics. All
    other settings are set in the file and in the environment: see 'consuldns config reference'.

    Example, while 'consuldns dev' runs: consuldns serve --listen 127.0.0.1:8653 --consul-addr
    http://127.0.0.1:8500 --admin-addr 127.0.0.1:9154
    """
    hold_signals()
    flags = {
        "listen": listen,
        "consul.address": consul_addr,
        "workers": workers,
        "admin_addr": admin_addr,
        "log_level": log_level,
        "log_format": log_format,
    }
    # Not at the top: help and completion must not wait for the server's imports.
    from consuldns.process.control import Control

    control = Control(lambda: configuration(file, flags).settings)
    asyncio.run(control.run())
