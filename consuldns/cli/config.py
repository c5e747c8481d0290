"""`consuldns config`: check, show and document settings."""

from pathlib import Path

import click

from consuldns.cli.options import config_option, configuration
from consuldns.config import consul_agent, reference
from consuldns.config.load import Configuration, Level
from consuldns.errors import ConfigError


@click.group()
def command() -> None:
    """Check, show and document settings.

    The value of a setting comes from the first of these that has one: flag, environment, file,
    default.
    """


@command.command()
@click.argument("given", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@config_option
def check(given: Path | None, file: Path | None) -> None:
    """Check that the settings are valid.

    Reads the file and the environment as 'serve' does, and the kubeconfig if [sync] has one or the
    sync worker is enabled. If something is not valid, prints a message with file and line, and
    exits with status 4.

    Example: consuldns config show > my.toml && consuldns config check my.toml
    """
    if given is not None and file is not None:
        raise click.UsageError("FILE and --config mean the same: use only one of them")
    found = configuration(given or file, {})
    _check_kubernetes(found)
    click.echo("the configuration is valid")


def _check_kubernetes(found: Configuration) -> None:
    """Find the Kubernetes API as the sync worker does. Raises ConfigError."""
    sync = found.settings.sync
    # On many machines KUBECONFIG is set for kubectl, and has nothing to do with consuldns.
    is_ours = found.origins["sync.kubeconfig"].level is not Level.CONSUL_ENVIRONMENT
    if not sync.enabled and (sync.kube_api or not (sync.kubeconfig and is_ours)):
        return
    from consuldns.sync.kubernetes.access import Access
    from consuldns.sync.kubernetes.kubeconfig import find_access

    try:
        access: Access = find_access(sync)
        access.tls()
    except (ConfigError, ValueError, OSError, RecursionError) as error:
        if not (sync.kubeconfig or sync.kube_api):  # the machine that it will run on may differ
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
@click.option("--origin", is_flag=True, help="Also print the origin of each value.")
def show(file: Path | None, origin: bool) -> None:
    """Print the value of every setting, as a TOML file with comments.

    The file can be used: it results in the same settings. Only secrets are left out.

    Example: consuldns config show --origin
    """
    click.echo(reference.toml(configuration(file, {}), origins=origin), nl=False)


@command.command(name="import")
@click.argument(
    "places", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
def import_(places: tuple[Path, ...]) -> None:
    """Convert the configuration of a Consul agent.

    FILE is a JSON or HCL file, or a folder of such files; several are merged as Consul merges them.
    Prints a file for consuldns on stdout. What was taken, what is different here, and what has no
    counterpart is printed on stderr. Tokens are not copied.

    Example: consuldns config import /etc/consul.d > consuldns.toml
    """
    found = consul_agent.convert(consul_agent.read_consul_files(list(places)))
    for title, lines in (
        ("taken", found.taken),
        ("different here", found.different),
        ("no counterpart", found.without),
    ):
        for line in lines:
            click.echo(f"{title}: {line}", err=True)
    if found.others:
        click.echo(f"not about DNS: {found.others} other settings", err=True)
    click.echo(reference.toml_of(found.settings), nl=False)


@command.command(name="reference")
def print_reference() -> None:
    """Print the documentation of all settings, as Markdown.

    Example: consuldns config reference | less
    """
    click.echo(reference.markdown(), nl=False)
