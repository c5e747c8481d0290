"""`consuldns config`: check, show and explain settings."""

import os
from pathlib import Path

import click

from consuldns.cli.options import config_option, configuration
from consuldns.config import reference
from consuldns.config.load import Configuration, Level, near_misses
from consuldns.errors import ConfigError


@click.group()
def command() -> None:
    """Check, show and explain settings.

    A setting has its value from the first of these that gives one: a flag, the environment, the
    file, the default.
    """


@command.command()
@click.argument("given", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@config_option
def check(given: Path | None, file: Path | None) -> None:
    """Say whether the settings can be used.

    Reads the file and the environment as 'serve' would, and the kubeconfig if there is one under
    [sync] or the sync worker is enabled. Exit status 4 and a message with file and line if
    something is wrong.

    Example: consuldns config show > my.toml && consuldns config check my.toml
    """
    if given is not None and file is not None:
        raise click.UsageError("FILE and --config are the same: give one of them")
    found = configuration(given or file, {})
    for warning in near_misses(os.environ):
        click.echo(f"Warning: {warning}", err=True)
    _check_kubernetes(found)
    click.echo("the configuration is valid")


def _check_kubernetes(found: Configuration) -> None:
    """Whether the Kubernetes API can be found as the sync worker would. Raises ConfigError."""
    sync = found.settings.sync
    # KUBECONFIG is there for kubectl's sake on many machines, and need not concern us.
    is_ours = found.origins["sync.kubeconfig"].level is not Level.CONSUL_ENVIRONMENT
    if not sync.enabled and (sync.kube_api or not (sync.kubeconfig and is_ours)):
        return
    from consuldns.sync.kubernetes.access import Access
    from consuldns.sync.kubernetes.kubeconfig import find_access

    try:
        access: Access = find_access(sync)
        access.tls()
    except (ConfigError, ValueError, OSError, RecursionError) as error:
        if not (sync.kubeconfig or sync.kube_api):  # it may well be different where it is to run
            click.echo(f"Warning: {error}", err=True)
            return
        where = sync.kubeconfig or "sync.kube_api"
        if isinstance(error, ConfigError) and error.where:
            raise
        context = f"context {sync.context!r}" if sync.context else "its current context"
        problem = error.problem if isinstance(error, ConfigError) else str(error)
        raise ConfigError(f"{context}: {problem}", where=where) from error
    click.echo(f"Kubernetes API: {access.url}, from {access.origin}")


@command.command()
@config_option
@click.option("--origin", is_flag=True, help="Say beside each value where it is from.")
def show(file: Path | None, origin: bool) -> None:
    """Print the value of every setting, as a TOML file.

    Secrets are printed as ***.

    Example: consuldns config show --origin
    """
    click.echo(reference.toml(configuration(file, {}), origins=origin), nl=False)


@command.command(name="reference")
def print_reference() -> None:
    """Print what every setting means, as Markdown.

    Example: consuldns config reference | less
    """
    click.echo(reference.markdown(), nl=False)
