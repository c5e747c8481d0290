"""`consuldns sync`: the Kubernetes sync worker and its one-off tasks.

Each task imports what it needs: help and completion must not wait for HTTP clients.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from consuldns.cli import hold_signals
from consuldns.cli.options import Command, config_option, configuration, setting_option
from consuldns.config.schema import Settings

EXIT_FAILED = 1
EXIT_PENDING = 20
EXIT_UNSAFE = 21

_FLAGS = {
    "consul_addr": ("consul.address", "URL"),
    "kube_api": ("sync.kube_api", "URL"),
    "kubeconfig": ("sync.kubeconfig", "FILE"),
    "context": ("sync.context", "NAME"),
    "cluster": ("sync.cluster", "NAME"),
    "admin_addr": ("sync.admin_addr", "ADDR:PORT"),
    "log_level": ("log_level", "LEVEL"),
}


@click.group()
def command() -> None:
    """Put the services of a Kubernetes cluster into Consul.

    Each service is registered in Consul's catalog under its flat name, gets a reverse name in the
    KV tree, and leaves again when it goes.
    """


def _settings_options(*names: str) -> Callable[[Command], Command]:
    """The options of these settings, and --config."""

    def decorate(function: Command) -> Command:
        function = config_option(function)
        for name in reversed(names):
            function = setting_option(*_FLAGS[name])(function)
        return function

    return decorate


_everything = _settings_options("consul_addr", "kube_api", "kubeconfig", "context", "cluster")
_consul_only = _settings_options("consul_addr", "cluster")


def _settings(file: Path | None, given: dict[str, Any]) -> Settings:
    flags = {_FLAGS[name][0]: value for name, value in given.items()}
    return configuration(file, flags).settings


adopt_option = click.option(
    "--adopt",
    is_flag=True,
    help="Take over what another cluster of this name (one that was rebuilt) has in Consul.",
)
allow_option = click.option(
    "--allow-mass-delete",
    is_flag=True,
    help="Remove at once even if it is more than half, and more than ten, of the services.",
)


@command.command()
@_everything
@setting_option(*_FLAGS["admin_addr"], default="none")
@setting_option(*_FLAGS["log_level"])
@adopt_option
@allow_option
def run(file: Path | None, adopt: bool, allow_mass_delete: bool, **given: str | None) -> None:
    """Keep Consul as the cluster is, until SIGTERM.

    Any number of workers may run for one cluster; one of them writes, the others stand by.

    Example: consuldns sync run --kube-api http://127.0.0.1:8001 --cluster blue
    """
    from consuldns import logs
    from consuldns.sync import supervisor

    hold_signals()
    settings = _settings(file, given)
    logs.configure(settings.log_level)
    asyncio.run(supervisor.run(settings, adopt=adopt, allow_mass_delete=allow_mass_delete))


@command.command()
@_everything
@adopt_option
@allow_option
def once(file: Path | None, adopt: bool, allow_mass_delete: bool, **given: str | None) -> None:
    """Make Consul as the cluster is now, and end.

    Exit status 0: done, or nothing to do; 1: something was refused; 21: removals were held back.

    Example: consuldns sync once --kubeconfig ~/.kube/config
    """
    from consuldns import logs
    from consuldns.sync import commands, report

    settings = _settings(file, given)
    logs.configure(settings.log_level)
    task = commands.once(settings, adopt=adopt, allow_mass_delete=allow_mass_delete)
    difference, result = asyncio.run(task)
    click.echo(report.text(difference.plan, difference.kept_back))
    for service, reason in result.failed.items():
        click.echo(f"refused {'/'.join(service or ('-',))}: {reason}", err=True)
    if difference.kept_back:
        raise click.exceptions.Exit(EXIT_UNSAFE)
    if result.failed:
        raise click.exceptions.Exit(EXIT_FAILED)


@command.command()
@_everything
@adopt_option
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How to print it.  [default: text]",
)
def diff(file: Path | None, adopt: bool, output: str, **given: str | None) -> None:
    """Say what 'sync once' would do, with --adopt too. Writes nothing.

    Exit status 0: nothing to do; 20: there is; 21: there is, and removals would be held back.

    Example: consuldns sync diff --output json | jq .operations
    """
    from consuldns import logs
    from consuldns.sync import commands, report

    settings = _settings(file, given)
    logs.configure(settings.log_level)
    difference = asyncio.run(commands.diff(settings, adopt=adopt))
    if output == "json":
        click.echo(report.json(difference.plan, difference.kept_back))
    else:
        click.echo(report.text(difference.plan, difference.kept_back))
    if difference.kept_back:
        raise click.exceptions.Exit(EXIT_UNSAFE)
    if difference.plan:
        raise click.exceptions.Exit(EXIT_PENDING)


@command.command()
@_consul_only
def purge(file: Path | None, **given: str | None) -> None:
    """Remove all that one cluster has in Consul under this name.

    Refused while a worker runs, which would write it again. Needs no Kubernetes API. What the same
    cluster has under another name stays.

    Example: consuldns sync purge --cluster blue
    """
    from consuldns import logs
    from consuldns.sync import commands

    settings = _settings(file, given)
    logs.configure(settings.log_level)
    purged = asyncio.run(commands.purge(settings))
    click.echo(f"removed {purged.instances} instances and {purged.keys} keys of {purged.cluster!r}")
    if purged.left:
        click.echo(
            f"the node k8s-{purged.cluster} stays: instances of others are on it ({purged.left})",
            err=True,
        )
    for reason in purged.failed:
        click.echo(f"refused: {reason}", err=True)
    if purged.failed:
        raise click.exceptions.Exit(EXIT_FAILED)


@command.command()
@_consul_only
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print a JSON object.  [default: a table on a terminal, else JSON]",
)
def status(file: Path | None, as_json: bool, **given: str | None) -> None:
    """Print what Consul has of one cluster, and which worker writes it.

    Example: consuldns sync status --cluster blue
    """
    from consuldns.sync import commands, report

    found = asyncio.run(commands.status(_settings(file, given)))
    if as_json or not sys.stdout.isatty():
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        click.echo(report.table(found.rows()))
