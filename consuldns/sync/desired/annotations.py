"""What the owner of a service may say about it, in annotations.

Those of consul-k8s are read as they stand, so that moving costs nothing; ours have the prefix
`consuldns/` and win, and know some more. What cannot be used is a problem, and the service is what
it would be without the annotation. Three are safe rather than absent when they cannot be read,
because to ignore them could show what somebody meant to hide: a service is then not synced, has no
reverse name, joins nobody else's name.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, get_args

from consuldns import descriptor, names
from consuldns.config.sync import CollisionPolicy
from consuldns.descriptor import EndpointMode
from consuldns.sync.desired import addresses
from consuldns.sync.desired.addresses import shown
from consuldns.sync.kubernetes.objects import CONSUL_K8S, CONSULDNS

# A service's name as Consul takes it, as far as DNS and a URL can hold it: Consul 1.8.7 finds no
# service by DNS whose name has a space or one of '";@()\ in it.
_LABEL = r"[A-Za-z0-9_!$&*+,:<=>^`{|}~\[\]-]+"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")  # RFC 1123, one label
_TRUE, _FALSE = ("1", "t", "true", "yes"), ("0", "f", "false", "no")
_SERVICE, _META = "service-", "meta-"


@dataclass(frozen=True)
class Overrides:
    """The annotations of one service. None and empty: nothing was said.

    `port` is a name or a number. `reverse` is no reverse names at all (False), the usual ones
    (True or None), or the name to point to. `problems` are what could not be used, in words.
    """

    sync: bool | None = None
    name: str = ""
    port: str = ""
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)
    weight: int = 1
    mode: EndpointMode | Literal[""] = ""
    address: str = ""
    reverse: bool | str | None = None
    collision: CollisionPolicy | Literal[""] = ""
    problems: tuple[str, ...] = ()


def read(annotations: Mapping[str, str] | None) -> Overrides:
    """What the annotations of a service say."""
    said: dict[str, Any] = {}
    meta: dict[str, str] = {}
    problems: list[str] = []
    for key, text in _in_order(annotations or {}):
        prefix, _, name = key.partition("/")
        suffix = name.removeprefix(_SERVICE)
        try:
            if name.startswith(_SERVICE + _META):
                meta[_meta_key(suffix.removeprefix(_META), text)] = text
            elif name.startswith(_SERVICE) and suffix in _READERS:
                said[suffix] = _READERS[suffix](text.strip())
            elif problem := _unknown(prefix, name):
                problems.append(problem)
        except ValueError as error:
            value, consequence = _UNREADABLE.get(suffix, (None, "it is ignored"))
            if value is not None:
                said[suffix] = value
            given = "" if suffix.startswith(_META) else f", not {shown(text)}"
            problems.append(f"{shown(key)} {error}{given}: {consequence}")
    if said.get("name") and not _HOST_NAME.fullmatch(said["name"]):
        problems.append(
            f"service-name {said['name']!r} is not a host name (one label of letters, digits and "
            "hyphens): it is used, but not every program and resolver will look it up"
        )
    return Overrides(**said, meta=meta, problems=tuple(problems))


def _in_order(annotations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Those of consul-k8s, then ours, which so win."""
    for prefix in (CONSUL_K8S, CONSULDNS):
        yield from ((k, text) for k, text in sorted(annotations.items()) if k.startswith(prefix))


def _unknown(prefix: str, name: str) -> str:
    """What is wrong with an annotation that nobody reads; empty if it may be somebody else's.

    All with our prefix are meant for us. With that of consul-k8s, which has many more for pods and
    gateways, those are that begin as we know them, or nearly so.
    """
    known = [_SERVICE + suffix for suffix in (*_READERS, f"{_META}<key>")]
    similar = get_close_matches(name.lower(), known, n=1, cutoff=0.85)
    is_ours = f"{prefix}/" == CONSULDNS
    if not (is_ours or similar or name.startswith(_SERVICE)) or name in _OF_OTHERS:
        return ""
    hint = f"did you mean {similar[0]}?" if similar else f"there are {', '.join(known)}"
    return f"there is no annotation {shown(f'{prefix}/{name}')}: {hint}"


def _meta_key(key: str, text: str) -> str:
    if not descriptor.META_KEY.fullmatch(key):
        raise ValueError(
            "has a key that Consul refuses: at most 128 letters, digits, - and _ are "
            "allowed, and no consul- at the beginning"
        )
    if descriptor.is_own(key):
        raise ValueError("has a key that the worker itself writes")
    if len(text.encode()) > descriptor.MAX_META_VALUE:
        raise ValueError(f"is longer than {descriptor.MAX_META_VALUE} octets, Consul's limit")
    return key


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError("must be true or false")
    return text.lower() in _TRUE


def _service_name(text: str) -> str:
    if not (_NAME.fullmatch(text) and len(text) <= names.MAX_LABEL):
        raise ValueError(
            f"must be at most {names.MAX_LABEL} characters that are valid in DNS and in a URL"
        )
    return text


def _port(text: str) -> str:
    if not text:
        raise ValueError("must be the name of a port or a number")
    return text


def _one_of(literal: Any) -> Callable[[str], str]:
    words = get_args(literal)

    def read_word(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read_word


def _address(text: str) -> str:
    try:
        return addresses.destination(text)
    except ValueError:
        raise ValueError("must be a host name, or an IP address that others can reach") from None


def _reverse(text: str) -> bool | str:
    """A word, or a name of more than one label: one alone is a word that was misspelt."""
    if text.lower() in _TRUE + _FALSE:
        return text.lower() in _TRUE
    try:
        name = addresses.host_name(text)
    except ValueError:
        name = ""
    if "." not in name or names.parse_address(name) is not None:
        raise ValueError("must be true, false or a full DNS name")
    return name


def _tags(text: str) -> tuple[str, ...]:
    r"""Tags with commas between; `\,` is a comma within one, as for consul-k8s."""
    parts = [part.strip().replace("\\,", ",") for part in re.split(r"(?<!\\),", text)]
    if not any(parts):
        raise ValueError("must be tags separated by commas")
    return tuple(part for part in parts if part)


_READERS: dict[str, Callable[[str], object]] = {
    "sync": _boolean,
    "name": _service_name,
    "port": _port,
    "tags": _tags,
    "weight": names.parse_port,  # the numbers that a port can have
    "mode": _one_of(EndpointMode),
    "address": _address,
    "reverse": _reverse,
    "collision": _one_of(CollisionPolicy),
}
# What those mean that cannot be read, and are not ignored.
_UNREADABLE: dict[str, tuple[object, str]] = {
    "sync": (False, "the service is not synced"),
    "reverse": (False, "it gets no reverse name"),
    "collision": ("suffix", "suffix is used"),
}
# Of Consul's service mesh and its metrics.
_OF_OTHERS = frozenset(("service-ignore", "service-metrics-path", "service-metrics-port"))
