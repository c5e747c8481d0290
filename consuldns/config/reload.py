"""Settings that are read again while the server runs."""

from functools import reduce
from typing import Any

from msgspec.structs import replace

from consuldns.config.schema import Settings, declared

# What takes effect without a restart: a table, and the settings of the log.
RELOADED = ("dns", "log_level", "log_format", "query_log", "query_log_sample")


def reloaded(running: Settings, read: Settings) -> Settings:
    """The settings to go on with: those that can change at run time are the ones just read."""
    return replace(running, **{name: getattr(read, name) for name in RELOADED})


def at_next_start(running: Settings, read: Settings) -> list[str]:
    """The paths of the settings that were read but take effect at the next start only."""
    return [
        path
        for path in declared()
        if path.partition(".")[0] not in RELOADED and _value(running, path) != _value(read, path)
    ]


def _value(settings: Settings, path: str) -> Any:
    return reduce(getattr, path.split("."), settings)
