"""The objects of the Kubernetes API that cannot be read: counted, and named once.

What was known of one stays: that it cannot be read does not mean that it is gone.
"""

import logging
from collections import Counter, defaultdict

from consuldns.sync.kubernetes.objects import ObjectKey
from consuldns.untrusted import find

_log = logging.getLogger(__name__)

MAX_NAMED = 100  # of a kind


def key_of(content: bytes) -> ObjectKey | None:
    """Namespace and name of an object, however broken the rest is; None if it has no name."""
    name = find(content, "metadata", "name")
    return (find(content, "metadata", "namespace"), name) if name else None


class UnreadObjects:
    """`count`: how often an object was skipped, by kind."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self._named: defaultdict[str, set[ObjectKey | None]] = defaultdict(set)

    def skipped(self, kind: str, key: ObjectKey | None, reason: object) -> None:
        """An object was skipped."""
        self.count[kind] += 1
        named = self._named[kind]
        if key not in named and len(named) < MAX_NAMED:
            named.add(key)
            name = "/".join(part for part in key if part) if key else "one with an unreadable name"
            _log.warning(
                "of %s, %.80r is skipped, and its last known state is kept: %s", kind, name, reason
            )

    def were_read(self, kind: str, bad: set[ObjectKey | None], namespace: str) -> None:
        """All objects of a kind in a namespace (empty: in all) were read, but for the bad ones."""
        self._named[kind] = {
            key
            for key in self._named[kind]
            if key in bad or (namespace and (key is None or key[0] != namespace))
        }
