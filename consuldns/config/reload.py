"""Settings that are read again while the server runs."""

from functools import reduce
from typing import Any

from msgspec.structs import replace

from consuldns.config.schema import Settings, declared

RELOADED = "dns"  # the table whose settings take effect without a restart


def reloaded(running: Settings, read: Settings) -> Settings:
    """The settings to go on with: those that can change at run time are the ones just read."""
    return replace(running, dns=read.dns)


def at_next_start(running: Settings, read: Settings) -> list[str]:
    """The paths of the settings that were read but take effect at the next start only."""
    return [
        path
        for path in declared()
        if not path.startswith(f"{RELOADED}.") and _value(running, path) != _value(read, path)
    ]


def _value(settings: Settings, path: str) -> Any:
    return reduce(getattr, path.split("."), settings)
