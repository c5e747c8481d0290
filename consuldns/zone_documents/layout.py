"""Which key of the KV tree has the document of a name."""

import re

from consuldns import names
from consuldns.names import Labels

ROOT = "consuldns/zones"
_FINAL_DOT = re.compile(r"(?<!\\)(\\\\)*\.$")  # one that is not escaped
APEX = "@"  # what stands for the zone itself, as in zone files


def zone_of(folder: str) -> Labels:
    """The zone that a folder is named after. Raises ValueError for what is not the name of one."""
    zone = names.parse_name(folder)
    if not zone:
        raise ValueError("the root is not a zone of one's own")
    return zone


def split(key: str) -> tuple[str, str] | None:
    """The folder of a key's zone, and what follows it; None for a key that is in no folder."""
    folder, slash, path = key.removeprefix(f"{ROOT}/").partition("/")
    return (folder, path) if slash else None


def labels_of(path: str, zone: Labels) -> Labels:
    """The labels left of the zone that the rest of a key stands for: `www`, `*.apps`, `@`.

    Raises ValueError for what is not a name, or is one that is too long in the zone.
    """
    if path == APEX:
        return ()
    labels = names.parse_name(path)
    if not labels or _FINAL_DOT.search(path):
        raise ValueError(f"not a name left of the zone: {path!r}; the zone itself is '@'")
    if not names.is_valid((*labels, *zone)):
        raise ValueError(f"the name is too long in the zone: {path!r}")
    return labels


def key(folder: str, labels: Labels) -> str:
    """The key of a name in a zone."""
    return f"{ROOT}/{folder}/{names.format_name(labels).removesuffix('.') or APEX}"
