"""Every error that this project raises on purpose.

    ConsuldnsError
    ├── ConfigError            a setting that cannot be used: where it came from, what, how to mend
    │   └── ConfigErrors       several of these
    ├── StartupError           the server cannot start (port taken, no permission)
    ├── WireError              bytes that are not the DNS message they should be
    ├── ConsulError            Consul did not give what was asked
    │   ├── Unreachable        no connection, or it broke, or the time was up
    │   ├── Denied             403: the token is unknown or lacks a right
    │   ├── NotFound           404
    │   ├── TooManyRequests    429, or the connection limit of Consul
    │   ├── NoPathToDatacenter 500 with that text: the datacenter does not exist
    │   ├── TransactionRefused 409: a transaction that was not applied, with the reasons
    │   └── BadResponse        any other status, or a body that cannot be understood
    └── KubernetesError        see consuldns.sync.kubernetes

Texts are for the person who runs the server: what happened, where, how to mend it.
"""

from collections.abc import Sequence


class ConsuldnsError(Exception):
    """Anything that consuldns raises on purpose."""


class ConfigError(ConsuldnsError):
    """A setting that cannot be used."""

    def __init__(self, problem: str, *, where: str = "", hint: str = "") -> None:
        self.problem, self.where, self.hint = problem, where, hint
        super().__init__(
            ": ".join(part for part in (where, problem) if part) + (f" ({hint})" if hint else "")
        )


class ConfigErrors(ConfigError):
    """Several settings that cannot be used; at least two."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.problem, where=first.where, hint=first.hint)
        self.args = ("; ".join(map(str, errors)),)
        self.lines = [str(each) for each in errors]


class StartupError(ConsuldnsError):
    """The server cannot start."""


class WireError(ConsuldnsError):
    """Bytes that are not the DNS message they should be."""


class ConsulError(ConsuldnsError):
    """Consul did not give what was asked."""


class Unreachable(ConsulError):
    """No connection to Consul, or it broke, or the time was up."""


class Denied(ConsulError):
    """403: the token is unknown or lacks a right."""


class NotFound(ConsulError):
    """404. `index` is the X-Consul-Index to wait on (a missing KV prefix has a usable one)."""

    def __init__(self, message: str, index: int = 0) -> None:
        self.index = index
        super().__init__(message)


class TooManyRequests(ConsulError):
    """429, or Consul's limit of connections from one address."""


class NoPathToDatacenter(ConsulError):
    """The datacenter is not known to Consul."""


class TransactionRefused(ConsulError):
    """409: nothing of the transaction was applied. `reasons`: pairs (operation, Consul's text)."""

    def __init__(self, reasons: "tuple[tuple[int, str], ...]") -> None:
        self.reasons = reasons
        said = "; ".join(f"operation {number}: {what}" for number, what in reasons[:3])
        super().__init__(f"Consul refused a transaction: {said}")


class BadResponse(ConsulError):
    """A status that is not a success, or a body that cannot be understood.

    `status` is the HTTP status, 0 if that was a success.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class KubernetesError(ConsuldnsError):
    """The Kubernetes API did not give what was asked."""


EXIT_FAILED = 1
EXIT_NOT_STARTED = 3
EXIT_BAD_SETTING = 4


def exit_status(error: ConsuldnsError) -> int:
    """The exit status that an error ends a process with."""
    match error:
        case ConfigError():
            return EXIT_BAD_SETTING
        case StartupError():
            return EXIT_NOT_STARTED
        case _:
            return EXIT_FAILED
