"""What the owner of a service may say about it, in annotations.

Those of consul-k8s are read as they stand, so that moving costs nothing; ours have the prefix
`consuldns/` and win, and know some more. What cannot be used is said and left out: a service is
never dropped for a bad annotation.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from consuldns import names
from consuldns.kubernetes.types import CONSUL_K8S, CONSULDNS

# A service's name as Consul takes it, as far as DNS and a URL can hold it: Consul 1.8.7 finds no
# service by DNS whose name has a space or one of '";@()\ in it.
_LABEL = r"[A-Za-z0-9_!$&*+,:<=>^`{|}~\[\]-]+"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")  # RFC 1123, one label
_META_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")  # Consul's rule
_TRUE, _FALSE = ("1", "t", "true", "yes"), ("0", "f", "false", "no")
MAX_META_VALUE = 512  # octets, Consul's limit


@dataclass
class Wishes:
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
    mode: str = ""
    address: str = ""
    reverse: bool | str | None = None
    collision: str = ""
    problems: list[str] = field(default_factory=list)


def read(annotations: Mapping[str, str] | None) -> Wishes:
    """What the annotations of a service say."""
    wishes = Wishes()
    if not annotations:
        return wishes
    given = _given(annotations, CONSUL_K8S) | _given(annotations, CONSULDNS)
    for suffix, text in given.items():
        if suffix.startswith("meta-"):
            _meta(wishes, suffix.removeprefix("meta-"), text)
        elif reader := _READERS.get(suffix):
            try:
                setattr(wishes, suffix, reader(text.strip()))
            except ValueError as error:
                wishes.problems.append(f"service-{suffix} {error}, not {text!r}")
    if wishes.name and not _HOST_NAME.fullmatch(wishes.name):
        wishes.problems.append(
            f"service-name {wishes.name!r} is not a host name (one label of letters, digits and "
            "hyphens): it is used, but not every program and resolver will look it up"
        )
    return wishes


def _given(annotations: Mapping[str, str], prefix: str) -> dict[str, str]:
    start = prefix + "service-"
    return {key.removeprefix(start): v for key, v in annotations.items() if key.startswith(start)}


def _meta(wishes: Wishes, key: str, text: str) -> None:
    if not _META_KEY.fullmatch(key):
        wishes.problems.append(f"service-meta-{key}: {key!r} cannot be a key of Consul's metadata")
    elif len(text.encode()) > MAX_META_VALUE:
        wishes.problems.append(f"service-meta-{key} is longer than {MAX_META_VALUE} octets")
    else:
        wishes.meta[key] = text


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError("must be true or false")
    return text.lower() in _TRUE


def _service_name(text: str) -> str:
    if not (_NAME.fullmatch(text) and len(text) <= names.MAX_LABEL):
        raise ValueError(
            f"must be at most {names.MAX_LABEL} characters that can stand in DNS and in a URL"
        )
    return text


def _weight(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise ValueError("must be a number from 1 to 65535")
    return int(text)


def _one_of(*words: str) -> Callable[[str], str]:
    def read_word(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read_word


def _address(text: str) -> str:
    address = names.parse_address(text)
    if address is not None:
        return str(address)
    return _name(text)


def _name(text: str) -> str:
    try:
        parsed = names.parse_name(text)
    except ValueError:
        parsed = ()
    if not parsed:
        raise ValueError("must be a DNS name")
    return text.rstrip(".")


def _reverse(text: str) -> bool | str:
    return text.lower() in _TRUE if text.lower() in _TRUE + _FALSE else _name(text)


def _tags(text: str) -> tuple[str, ...]:
    r"""Tags with commas between; `\,` is a comma within one, as for consul-k8s."""
    parts = re.split(r"(?<!\\),", text)
    return tuple(part.strip().replace("\\,", ",") for part in parts if part.strip())


_READERS: dict[str, Callable[[str], object]] = {
    "sync": _boolean,
    "name": _service_name,
    "port": str,
    "tags": _tags,
    "weight": _weight,
    "mode": _one_of("vip", "endpoints", "both"),
    "address": _address,
    "reverse": _reverse,
    "collision": _one_of("suffix", "merge", "skip"),
}
