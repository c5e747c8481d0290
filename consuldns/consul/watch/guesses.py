"""How often a name that no list holds may be looked up in Consul.

A template of a prepared query matches any name, and a mesh endpoint can have the name of a service
that is not registered: whether there is such a name, Consul alone can tell. So a client's name
becomes a request here, the one exception to the rule that it never does (ADR 22): at a limited
rate, for all clients and workers together. Names that were found do not count, however often they
are read again.
"""

PER_SECOND = 20.0
BURST = 20.0
TOO_MANY = "too many names are being looked up that Consul does not list"


class Guesses:
    """A token bucket. Times in seconds of one clock."""

    def __init__(self) -> None:
        self._left = BURST
        self._at = float("-inf")
        self.refused = 0

    def take(self, now: float) -> bool:
        """Whether a name may be looked up now; counts as one if so."""
        self._left = min(BURST, self._left + (now - self._at) * PER_SECOND)
        self._at = now
        if self._left < 1.0:
            self.refused += 1
            return False
        self._left -= 1.0
        return True
