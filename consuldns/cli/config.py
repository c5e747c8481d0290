"""`consuldns config`: check, show and explain settings."""

import os
from pathlib import Path

import click

from consuldns.cli.options import config_option, configuration
from consuldns.config import reference
from consuldns.config.load import near_misses


@click.group()
def command() -> None:
    """Check, show and explain settings.

    A setting has its value from the first of these that gives one: a flag, the environment, the
    file, the default.
    """


@command.command()
@config_option
def check(file: Path | None) -> None:
    """Say whether the settings can be used.

    Reads the file and the environment as 'serve' would. Exit status 4 and a message with file and
    line if something is wrong.

    Example: consuldns config check --config consuldns.toml
    """
    configuration(file, {})
    for warning in near_misses(os.environ):
        click.echo(f"Warning: {warning}", err=True)
    click.echo("the configuration is valid")


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
