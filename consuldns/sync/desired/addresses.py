"""Addresses and host names that others wrote: whether anyone can connect to them.

Kubernetes itself refuses endpoints and external IPs that are unspecified, loopback, link-local or
multicast; what load balancers and nodes are given, it does not check. Such an address means
something else, or nothing, to each host that looks it up, so it is not written for any.
"""

import re
from collections.abc import Iterable

from consuldns import names
from consuldns.names import IPAddress

# Labels of host names (RFC 1123 section 2.1), and with underscores, as they occur in targets.
_HOST_LABEL = re.compile(rb"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
_MOST_SHOWN = 3  # things of one kind in one problem
_LONGEST_SHOWN = 60  # characters of a text that others wrote


def address(text: str) -> IPAddress:
    """The address. Raises ValueError with a text that goes on from "it ..."."""
    parsed = names.parse_address(text)
    if parsed is None:
        raise ValueError("is not an IP address")
    if parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local or parsed.is_multicast:
        raise ValueError("is an unspecified, loopback, link-local or multicast address")
    return parsed


def host_name(text: str) -> str:
    """The name without a final dot. Raises ValueError with a text that goes on from "it ..."."""
    try:
        labels = names.parse_name(text)
    except ValueError:
        labels = ()
    fits = len(text.removesuffix(".")) <= names.MAX_HOST_NAME
    is_name = fits and labels and all(map(_HOST_LABEL.fullmatch, labels))
    if not is_name or labels[-1].isdigit():  # that is an address gone wrong: no domain is a number
        raise ValueError("is not a host name")
    return text.removesuffix(".")


def destination(text: str) -> str:
    """An address in its usual spelling, or a host name. Raises ValueError, as above."""
    if names.parse_address(text) is not None:
        return str(address(text))
    try:
        return host_name(text)
    except ValueError:
        raise ValueError("is neither an IP address nor a host name") from None


def shown(text: str) -> str:
    """A text that others wrote, in quotes, escaped and not too long for a line of a log."""
    quoted = repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")
    most = 2 * _LONGEST_SHOWN  # what is escaped takes up to ten characters for one
    return quoted if len(quoted) <= most else f"{quoted[:most]}...'"


def listed(texts: Iterable[str]) -> str:
    """A few texts of many, in order: 'a', 'b', 'c' and 7 more."""
    ordered = sorted(set(texts))
    few = ", ".join(shown(text) for text in ordered[:_MOST_SHOWN])
    more = len(ordered) - _MOST_SHOWN
    return f"{few} and {more} more" if more > 0 else few
