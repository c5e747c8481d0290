"""The declaration of a setting; the settings themselves are in `schema` and `sync`."""

from dataclasses import dataclass
from typing import Any

from consuldns.config.values import Kind


@dataclass(frozen=True, slots=True)
class Declaration:
    """The documentation of a setting, and its names outside of the file.

    `text` says what it does, in which unit, and the reason for the default. `flag` is its option on
    the command line, `consul_variable` the environment variable that Consul's own tools (or those
    of Kubernetes) use for it.
    """

    kind: Kind[Any]
    text: str
    flag: str = ""
    consul_variable: str = ""

    @property
    def summary(self) -> str:
        """The first sentence of the text."""
        return self.text.split(". ", 1)[0].removesuffix(".") + "."
