"""`consuldns serve`: answer DNS for a Consul that runs already."""

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
def command(
    listen: tuple[str, ...],
    consul_addr: str | None,
    file: Path | None,
    workers: str | None,
    admin_addr: str | None,
    log_level: str | None,
) -> None:
    """Answer DNS for a Consul that runs already.

    Runs until it gets SIGTERM or SIGINT (Ctrl-C). When it can answer it prints 'ready'. SIGHUP has
    it read the settings of [dns] and the token again, SIGUSR1 log its figures. All other settings
    are in the file and in the environment: see 'consuldns config reference'.

    Example, also beside 'consuldns dev': consuldns serve --listen 127.0.0.1:8653 --consul-addr
    http://127.0.0.1:8500 --admin-addr 127.0.0.1:9154
    """
    hold_signals()
    flags = {
        "listen": listen,
        "consul.address": consul_addr,
        "workers": workers,
        "admin_addr": admin_addr,
        "log_level": log_level,
    }
    # Here, not above: help and completion must not wait for the server's imports.
    from consuldns.process.control import Control

    control = Control(lambda: configuration(file, flags).settings)
    asyncio.run(control.run())
