"""What can go wrong with the Kubernetes API.

KubernetesError
├── Unreachable       no connection, or it broke, or nothing came in time
├── Unauthorized      401: the credentials are missing, wrong or expired
├── Forbidden         403: the account may not do this (never the same as "there is nothing")
├── Gone              410, as a status or as an event: the history is lost, list again
├── Throttled         429 and 503: come back later
├── StaleServer       504 "Too large resource version": that server has not caught up yet
├── UnknownResource   404: this API server does not serve the kind at all
└── BadResponse       any other status or event, or a body that cannot be understood
"""

from consuldns.errors import KubernetesError


class Unreachable(KubernetesError):
    """No connection, or it broke, or nothing came in time."""


class Unauthorized(KubernetesError):
    """401: the credentials are missing, wrong or expired."""


class Forbidden(KubernetesError):
    """403: the account may not do this."""


class Gone(KubernetesError):
    """410: the resource version or the continue token is too old. List again from the start."""


class Throttled(KubernetesError):
    """429 or 503. `retry_after` in seconds, 0 if the server did not say."""

    def __init__(self, message: str, retry_after: float = 0) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class StaleServer(KubernetesError):
    """504: the server has not seen that resource version yet."""


class UnknownResource(KubernetesError):
    """404: this API server does not serve the kind."""


class WrongCluster(KubernetesError):
    """The API server answers for another cluster than it did before."""


class BadResponse(KubernetesError):
    """Any other status, or a body that cannot be understood."""
