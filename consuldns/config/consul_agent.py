"""Converts the configuration of a Consul agent, for `config import`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consuldns.config.consul_keys import EXPLAINED, TAKEN, TAKEN_FROM_TOP
from consuldns.config.load import load
from consuldns.errors import ConfigError

CONSUL_PORT_OF_DNS = 8600
HINT_OF_EXTRA = "install the extra for HCL: pip install 'consuldns[hcl]'"


@dataclass
class Import:
    """The result: settings by path, and a line about each key of Consul's that matters here."""

    settings: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    others: int = 0  # keys that have nothing to do with the DNS


def read_consul_files(places: list[Path]) -> dict[str, Any]:
    """The configuration in files, or in the .json and .hcl files of folders, merged as Consul does.

    Later ones win; lists are joined. Raises ConfigError.
    """
    merged: dict[str, Any] = {}
    for place in places:
        files = [place]
        if place.is_dir():
            files = sorted(each for each in place.iterdir() if each.suffix in (".json", ".hcl"))
        for file in files:
            merged = _merge(merged, _read(file))
    return merged


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", where=str(file)) from error
    try:
        content = json.loads(text) if file.suffix == ".json" else _hcl(text)
    except (ValueError, RecursionError) as error:
        kind = "JSON" if file.suffix == ".json" else "HCL"
        raise ConfigError(f"is not valid {kind}: {error}", where=str(file)) from error
    if not isinstance(content, dict):
        raise ConfigError("is not an object", where=str(file))
    return content


def _hcl(text: str) -> Any:
    """HCL 1, which Consul reads; JSON is valid HCL."""
    try:
        import hcl
    except ImportError as error:
        raise ConfigError("HCL cannot be read", hint=HINT_OF_EXTRA) from error
    return hcl.loads(text)


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merge(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            merged[key] = before + value
        else:
            merged[key] = value
    return merged


def convert(consul: Mapping[str, Any]) -> Import:
    """What a configuration of Consul is here. Raises ConfigError if a value cannot be used."""
    result = Import()
    for path, value in _flat(consul, ""):
        inner = path.removeprefix("dns_config.")
        if path in TAKEN_FROM_TOP or (inner != path and inner in TAKEN):
            if value in ("", [], None):
                continue
            result.settings[f"dns.{inner}"] = value
            result.taken.append(f"{path} -> dns.{inner}")
        elif path in EXPLAINED and not EXPLAINED[path].startswith("has no"):
            result.different.append(f"{path} {EXPLAINED[path]}")
        elif path in EXPLAINED or inner != path:
            text = EXPLAINED.get(path, "has no counterpart")
            result.without.append(f"{path} {text}")
        else:
            result.others += 1
    listen = _listen(consul)
    if listen:
        result.settings["listen"] = listen
    load(environment={}, defaults=result.settings)  # raises, if a value cannot be used
    return result


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Paths and values; tables of names (`service_ttl`) are values."""
    for key, value in table.items():
        path = prefix + key
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            value = value[0]  # HCL writes a block so
        if isinstance(value, dict) and key != "service_ttl":
            yield from _flat(value, path + ".")
        else:
            yield path, value


def _listen(consul: Mapping[str, Any]) -> list[str]:
    """Where Consul's DNS listens, as far as plain addresses say so."""
    flat = dict(_flat(consul, ""))
    port = flat.get("ports.dns", CONSUL_PORT_OF_DNS)
    hosts = str(flat.get("addresses.dns") or flat.get("client_addr") or "").split()
    if not hosts and "ports.dns" not in flat:
        return []
    if port in (-1, 0) or any("{" in host for host in hosts):  # a template of go-sockaddr
        return []
    hosts = hosts or ["127.0.0.1"]
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]
