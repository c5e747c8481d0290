"""How a setting is declared; the settings themselves are in `schema` and `sync`."""

from dataclasses import dataclass
from typing import Any

from consuldns.config.values import Kind


@dataclass(frozen=True, slots=True)
class Declaration:
    """What there is to know about a setting beside its type and default.

    `text` says what it does, in which unit, and why the default is what it is. `flag` is its option
    on the command line, `consul_variable` the variable by which Consul's own tools (or those of
    Kubernetes) know it.
    """

    kind: Kind[Any]
    text: str
    flag: str = ""
    consul_variable: str = ""

    @property
    def summary(self) -> str:
        """The first sentence of the text."""
        return self.text.split(". ", 1)[0].removesuffix(".") + "."
