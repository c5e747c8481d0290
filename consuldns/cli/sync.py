"""`consuldns sync`: the Kubernetes sync worker and its one-off tasks.

Each task has its own imports: help and completion must not wait for HTTP clients.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from consuldns.cli import hold_signals
from consuldns.cli.options import Command, color, config_option, configuration, setting_option
from consuldns.config.schema import Settings

if TYPE_CHECKING:
    from consuldns.sync.commands import Difference

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
    "log_format": ("log_format", "FORMAT"),
}


@click.group()
def command() -> None:
    """Sync the services of a Kubernetes cluster to Consul.

    Each service is registered in Consul's catalog under its flat name, with a reverse name in the
    KV tree, and is removed when it is deleted in Kubernetes.
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
    help="Take over the entries of another cluster of this name, such as one that was rebuilt.",
)
allow_option = click.option(
    "--allow-mass-delete",
    is_flag=True,
    help="Do not hold a mass deletion (more than half of the services, and more than ten).",
)


verbose_option = click.option(
    "--verbose", "-v", is_flag=True, help="Also print each operation in Consul."
)

_COLORS = {"+": "green", "-": "red", "~": "yellow", "!": "magenta", "?": "cyan"}


def _show(difference: "Difference", *, is_verbose: bool) -> None:
    from consuldns.sync import report

    for line in report.text(
        difference.plan, difference.existing, difference.kept_back, is_verbose=is_verbose
    ):
        paint = _COLORS.get(line.lstrip()[:1])
        click.echo(click.style(line, fg=paint) if paint else line, color=color())


@command.command()
@_everything
@setting_option(*_FLAGS["admin_addr"], default="none")
@setting_option(*_FLAGS["log_level"])
@setting_option(*_FLAGS["log_format"])
@adopt_option
@allow_option
def run(file: Path | None, adopt: bool, allow_mass_delete: bool, **given: str | None) -> None:
    """Keep Consul in sync with the cluster, until SIGTERM.

    Any number of workers may run for a cluster: the leader writes, the others stand by.

    Example: consuldns sync run --kube-api http://127.0.0.1:8001 --cluster blue
    """
    from consuldns import logs
    from consuldns.sync import supervisor

    hold_signals()
    settings = _settings(file, given)
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(supervisor.run(settings, adopt=adopt, allow_mass_delete=allow_mass_delete))


@command.command()
@_everything
@adopt_option
@allow_option
@verbose_option
def once(
    file: Path | None, adopt: bool, allow_mass_delete: bool, verbose: bool, **given: str | None
) -> None:
    """Sync the current state of the cluster to Consul once, and exit.

    Prints what was changed, as 'sync diff'.

    Exit status 0: in sync; 1: Consul refused a change; 21: a mass deletion was held.

    Example: consuldns sync once --kubeconfig ~/.kube/config
    """
    from consuldns import logs
    from consuldns.sync import commands

    settings = _settings(file, given)
    logs.configure(settings.log_level, settings.log_format)
    task = commands.once(settings, adopt=adopt, allow_mass_delete=allow_mass_delete)
    difference, result = asyncio.run(task)
    _show(difference, is_verbose=verbose)
    for service, reason in result.failed.items():
        click.echo(f"refused {'/'.join(service or ('-',))}: {reason}", err=True)
    if difference.kept_back:
        raise click.exceptions.Exit(EXIT_UNSAFE)
    if result.failed:
        raise click.exceptions.Exit(EXIT_FAILED)


@command.command()
@_everything
@adopt_option
@verbose_option
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Output format.  [default: text]",
)
@click.option("--json", "is_json", is_flag=True, help="The same as --output json.")
def diff(
    file: Path | None, adopt: bool, verbose: bool, output: str, is_json: bool, **given: str | None
) -> None:
    """Show what 'sync once' would change (with --adopt, too). Writes nothing.

    A line for each service: + is new, ~ changes, - goes; then ! for what would go but is held, and
    ? for problems.

    Exit status 0: no changes; 20: changes; 21: changes, and a mass deletion that would be held.

    Example: consuldns sync diff --output json | jq .operations
    """
    from consuldns import logs
    from consuldns.sync import commands, report

    settings = _settings(file, given)
    logs.configure(settings.log_level, settings.log_format)
    difference = asyncio.run(commands.diff(settings, adopt=adopt))
    if is_json or output == "json":
        click.echo(report.json(difference.plan, difference.kept_back))
    else:
        _show(difference, is_verbose=verbose)
    if difference.kept_back:
        raise click.exceptions.Exit(EXIT_UNSAFE)
    if difference.plan:
        raise click.exceptions.Exit(EXIT_PENDING)


@command.command()
@_consul_only
def purge(file: Path | None, **given: str | None) -> None:
    """Remove all entries of a cluster from Consul.

    Refused while a worker runs for the cluster, because it would write them again. Does not need
    the Kubernetes API. Entries of the same cluster under another name are kept.

    Example: consuldns sync purge --cluster blue
    """
    from consuldns import logs
    from consuldns.sync import commands

    settings = _settings(file, given)
    logs.configure(settings.log_level, settings.log_format)
    purged = asyncio.run(commands.purge(settings))
    click.echo(f"removed {purged.instances} instances and {purged.keys} keys of {purged.cluster!r}")
    if purged.left:
        click.echo(
            f"kept node k8s-{purged.cluster}: it has instances of others ({purged.left})",
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
    """Show the entries of a cluster in Consul, and which worker is the leader.

    Example: consuldns sync status --cluster blue
    """
    from consuldns.sync import commands, report

    found = asyncio.run(commands.status(_settings(file, given)))
    if as_json or not sys.stdout.isatty():
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        click.echo(report.table(found.rows()))
