"""What is wrong with settings that can each be read: together, or with the files that they name."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from consuldns.config.schema import Settings, declared
from consuldns.config.values import FILE
from consuldns.dns.policy import MAX_IDENTITY
from consuldns.sockets import HostPort, is_own_address

Complaint = tuple[str, str, str]
"""The path of a setting, what is wrong with it, and how to mend it."""


def complaints(values: Mapping[str, Any]) -> Iterator[Complaint]:
    """Everything that is wrong with the values, which go by path."""
    certificate, key = values["consul.client_certificate"], values["consul.client_key"]
    if certificate and not key:
        yield "consul.client_certificate", "has no key", "set consul.client_key"
    if key and not certificate:
        yield "consul.client_key", "has no certificate", "set consul.client_certificate"
    yield from _of_tls(values)
    if values["dns.domain"] in values["dns.alt_domain"]:
        yield "dns.alt_domain", "is the same as dns.domain", "remove it"
    if len(values["dns.identity"].encode()) > MAX_IDENTITY:
        yield "dns.identity", f"has more than {MAX_IDENTITY} octets", "use a shorter one"
    yield from _of_zones(values)
    yield from _of_upstreams(values)
    if len(set(values["listen"])) < len(values["listen"]):
        yield "listen", "contains an address twice", "remove one"
    if values["admin_addr"] in values["listen"]:
        yield "admin_addr", "is also in listen", "choose another port"
    for path, setting in declared().items():
        if setting.declaration.kind is FILE and values[path]:
            problem = _unreadable(values[path])
            if problem:
                yield path, f"{values[path]} cannot be read: {problem}", ""


def exposed_secrets(settings: Settings, file: Path | None) -> Iterator[str]:
    """Files with secrets that every user of this host can read, and how to mend it.

    `file` is the one with the settings, if a secret is in it.
    """
    consul = settings.consul
    secrets = {
        "consul.token_file": consul.token_file,
        "consul.client_key": consul.client_key,
        "tls.key": settings.tls.key,
    }
    if file is not None:
        secrets["the file with the settings"] = str(file)
    for name, path in secrets.items():
        if path and _is_readable_by_all(path):
            yield f"{name}, {path}, can be read by every user of this host: chmod o-rwx {path}"


def _is_readable_by_all(path: str) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IROTH)


def _of_tls(values: Mapping[str, Any]) -> Iterator[Complaint]:
    for path in ("tls.certificate", "tls.key"):
        if values["tls.listen"] and not values[path]:
            yield path, "is not set, but tls.listen is", f"set {path}"
    if set(values["tls.listen"]) & {*values["listen"], values["admin_addr"]}:
        yield "tls.listen", "contains an address that is used already", "choose another port"


def _of_zones(values: Mapping[str, Any]) -> Iterator[Complaint]:
    zones, own = values["dns.kubernetes.zones"], values["sync.zone"]
    for path, zone in (*(("dns.kubernetes.zones", zone) for zone in zones), ("sync.zone", own)):
        if zone and zone in (values["dns.domain"], *values["dns.alt_domain"]):
            problem = f"contains {zone}, which is Consul's domain"
            yield path, problem, f"remove it: clusters are at <datacenter>.{zone}"
    if own in zones and zones[own] != values["sync.cluster"]:
        problem = f"{own} is the zone of cluster {zones[own]!r} in dns.kubernetes.zones"
        yield "sync.zone", problem, "give each cluster a zone of its own"


def _of_upstreams(values: Mapping[str, Any]) -> Iterator[Complaint]:
    """Upstream servers that are this server itself: queries would go round in circles."""
    forward = values["dns.forward"]
    lists = {"dns.recursors": values["dns.recursors"]}
    for path, servers in (*lists.items(), *(("dns.forward", each) for each in forward.values())):
        for server in servers:
            if any(_reaches(server, listener) for listener in values["listen"]):
                problem = f"contains {server}, where this server itself listens"
                yield path, problem, "name another DNS server"
    for zone in forward:
        if zone in (values["dns.domain"], *values["dns.alt_domain"]):
            problem = f"contains {zone}, which this server answers itself"
            yield "dns.forward", problem, "remove it, or name a zone below it"


def _reaches(server: HostPort, listener: HostPort) -> bool:
    """Whether what is sent to `server` arrives at a socket that is bound to `listener`."""
    if server.port != listener.port or server.family != listener.family:
        return False
    is_wildcard = listener.host in ("0.0.0.0", "::")
    return server.host == listener.host or (is_wildcard and is_own_address(server.host))


def _unreadable(file: str) -> str:
    try:
        os.close(os.open(file, os.O_RDONLY))
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a path with a null byte in it
        return str(error)
    return ""
