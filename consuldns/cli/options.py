"""Options that are settings, derived from their declarations, and the resulting configuration."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from consuldns.config.checks import exposed_secrets
from consuldns.config.load import DEFAULT_FILE, Configuration, Level, load, unknown_variables
from consuldns.config.schema import declared
from consuldns.config.values import SECRET, format_value

Command = TypeVar("Command", bound=Callable[..., Any])


def color() -> bool | None:
    """Whether to color: what click finds out of the terminal, never with NO_COLOR."""
    return False if os.environ.get("NO_COLOR") else None


def setting_option(
    path: str, metavar: str, *, default: str = "", multiple: bool = False
) -> Callable[[Command], Command]:
    """The flag of a setting. Its value is the string as typed, None (or ()) if it was not given.

    `default` replaces the general default in the help text, for a command with its own default.
    """
    setting = declared()[path]
    default = default or format_value(setting.default).replace('"', "").strip("[]")
    return click.option(
        setting.declaration.flag,
        metavar=metavar,
        multiple=multiple,
        help=f"{setting.declaration.summary}  [default: {default}]",
    )


config_option = click.option(
    "--config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"TOML file with settings.  [default: {DEFAULT_FILE}, if it exists]",
)


def configuration(file: Path | None, flags: Mapping[str, Any]) -> Configuration:
    """The configuration of a command with these flags, by the path of the setting.

    Prints a warning for each variable that is named like a setting, and is none, and for each file
    with a secret that everybody can read.
    """
    for warning in unknown_variables(os.environ):
        click.echo(f"Warning: {warning}", err=True)
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    loaded = load(file=file, environment=os.environ, flags=flags)
    if "KUBERNETES_SERVICE_HOST" not in os.environ:  # in a pod there are no other users
        holds_secrets = any(
            loaded.origins[path].level is Level.FILE
            for path, setting in declared().items()
            if setting.declaration.kind is SECRET
        )
        for warning in exposed_secrets(loaded.settings, file if holds_secrets else None):
            click.echo(f"Warning: {warning}", err=True)
    return loaded
