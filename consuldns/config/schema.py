"""Every setting, declared once: type, default, how it is parsed, and its documentation.

Everything else is derived from here: keys in the file, environment variables, flags, `config show`,
and docs/reference/configuration.md. A setting `b` of section `a` has the key `b` under `[a]` and
the variable `CONSULDNS_A_B`. To add one, add a field here, and use it.

Names, meanings and defaults under `[dns]` are those of Consul's own `dns_config`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, get_type_hints

import msgspec

from consuldns.config.declaration import Declaration
from consuldns.config.dns import DNSSettings
from consuldns.config.sync import SyncSettings
from consuldns.config.values import (
    BOOLEAN,
    DATACENTER,
    DURATION,
    FILE,
    HOST_PORT,
    SECRET,
    TEXT,
    URL,
    Secret,
    list_of,
    one_of,
    whole_number,
)
from consuldns.logs import Form, Level, Logged
from consuldns.sockets import HostPort


class ConsulSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The Consul agent that the data are read from."""

    address: Annotated[
        str,
        Declaration(
            URL,
            "Base URL of a Consul agent's HTTP API, or `unix://` and the path of its socket. The "
            "default is Consul's own default port on this machine, which is where the agent should "
            "run.",
            flag="--consul-addr",
            consul_variable="CONSUL_HTTP_ADDR",
        ),
    ] = "http://127.0.0.1:8500"
    token: Annotated[
        Secret,
        Declaration(
            SECRET,
            "ACL token. It needs `service:read` and `node:read` for everything that is to be "
            "answered, and `key:read` for reverse zones. Cannot be combined with `token_file`. "
            "Default: none, for a Consul without ACLs.",
            consul_variable="CONSUL_HTTP_TOKEN",
        ),
    ] = Secret()
    token_file: Annotated[
        str,
        Declaration(
            FILE,
            "File that contains the ACL token. Preferable to `token`, because the token does not "
            "show up in process listings or dumps of the environment.",
            consul_variable="CONSUL_HTTP_TOKEN_FILE",
        ),
    ] = ""
    http_auth: Annotated[
        Secret,
        Declaration(
            SECRET,
            "User name and password, `user:password`, for a proxy before the agent that asks for "
            "them (HTTP Basic authentication, RFC 7617). Default: none.",
            consul_variable="CONSUL_HTTP_AUTH",
        ),
    ] = Secret()
    namespace: Annotated[
        str,
        Declaration(
            DATACENTER,
            "Namespace of names that do not include one (Consul Enterprise). Default: that of the "
            "token.",
            consul_variable="CONSUL_NAMESPACE",
        ),
    ] = ""
    partition: Annotated[
        str,
        Declaration(
            DATACENTER,
            "Admin partition of names that do not include one (Consul Enterprise). Default: that "
            "of the agent.",
            consul_variable="CONSUL_PARTITION",
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Declaration(
            FILE,
            "File with the CA certificates (PEM) that Consul's certificate is verified against. "
            "Default: the system's trusted CAs.",
            consul_variable="CONSUL_CACERT",
        ),
    ] = ""
    ca_path: Annotated[
        str,
        Declaration(
            FILE,
            "Directory of CA certificates (PEM), in addition to `ca_file`.",
            consul_variable="CONSUL_CAPATH",
        ),
    ] = ""
    client_certificate: Annotated[
        str,
        Declaration(
            FILE,
            "File with the client certificate (PEM), for a Consul that requires one "
            "(`verify_incoming`). Requires `client_key`.",
            consul_variable="CONSUL_CLIENT_CERT",
        ),
    ] = ""
    client_key: Annotated[
        str,
        Declaration(
            FILE,
            "File with the private key (PEM) of `client_certificate`.",
            consul_variable="CONSUL_CLIENT_KEY",
        ),
    ] = ""
    verify: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether Consul's certificate is verified. If disabled, a man in the middle can read "
            "the token.",
            consul_variable="CONSUL_HTTP_SSL_VERIFY",
        ),
    ] = True
    tls_server_name: Annotated[
        str,
        Declaration(
            TEXT,
            "Name to verify in Consul's certificate, if it is not the host in `address`; usually "
            "`server.<datacenter>.<domain>`.",
            consul_variable="CONSUL_TLS_SERVER_NAME",
        ),
    ] = ""
    datacenter: Annotated[
        str,
        Declaration(
            DATACENTER,
            "Datacenter of names that do not include one. Default: the datacenter of the agent, as "
            "the agent reports it.",
        ),
    ] = ""
    connections: Annotated[
        int,
        Declaration(
            whole_number(8, 190),
            "Maximum number of connections to Consul. The services that are queried most hold one "
            "each, up to this limit. An agent refuses more than 200 from one address "
            "(`limits.http_max_conns_per_client`), and other programs on this machine need some.",
        ),
    ] = 32


class TLSSettings(msgspec.Struct, frozen=True, kw_only=True):
    """DNS over TLS (RFC 7858), beside plain DNS."""

    listen: Annotated[
        tuple[HostPort, ...],
        Declaration(
            list_of(HOST_PORT),
            "Addresses to answer DNS over TLS on, such as `0.0.0.0:853`. Requires `certificate` "
            "and `key`. Default: none.",
        ),
    ] = ()
    certificate: Annotated[
        str,
        Declaration(
            FILE,
            "File with the certificate (PEM), the certificates of its issuers behind it. It is "
            "read again at SIGHUP.",
        ),
    ] = ""
    key: Annotated[
        str,
        Declaration(FILE, "File with the private key (PEM) of `certificate`."),
    ] = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of a process."""

    listen: Annotated[
        tuple[HostPort, ...],
        Declaration(
            list_of(HOST_PORT, at_least_one=True),
            "Addresses to answer DNS queries on, over UDP and TCP. The flag may be repeated. The "
            "default port needs no privileges, and conflicts neither with a resolver (53) nor with "
            "Consul's own DNS (8600) on the same machine.",
            flag="--listen",
        ),
    ] = (HostPort("127.0.0.1", 8653),)
    workers: Annotated[
        int,
        Declaration(
            whole_number(0, 256),
            "Number of worker processes, which answer the queries. 0: one for each available CPU.",
            flag="--workers",
        ),
    ] = 0
    admin_addr: Annotated[
        HostPort,
        Declaration(
            HOST_PORT,
            "Address of the HTTP endpoints `/metrics`, `/health` and `/ready`. The default is the "
            "metrics port of CoreDNS, on the loopback interface because there is no access "
            "control.",
            flag="--admin-addr",
        ),
    ] = HostPort("127.0.0.1", 9153)
    lameduck: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "How long to go on answering after SIGTERM, while `/ready` says 503 already, so that "
            "load balancers and Kubernetes stop sending queries first. A second SIGTERM ends it at "
            "once. Default 0: stop immediately.",
        ),
    ] = timedelta(0)
    snapshot: Annotated[
        str,
        Declaration(
            TEXT,
            "File in which the last known data of Consul is kept, so that a server that starts "
            "while Consul is unreachable answers from it, marked as stale; written once a minute "
            "if anything has changed. Its directory must exist and be writable. Data older than "
            "`dns.max_stale`, or of another version of consuldns, is not used. Default: none.",
        ),
    ] = ""
    log_level: Annotated[
        Level,
        Declaration(
            one_of(Level),
            "Minimum severity of the log. `debug` adds requests to Consul with status and time, "
            "views that were read, and messages between processes. Tokens are never logged.",
            flag="--log-level",
        ),
    ] = "info"
    log_format: Annotated[
        Form,
        Declaration(
            one_of(Form),
            "Format of the log. `text`: one event on each line, for people. `json`: an object on "
            "each line, with `time`, `level`, `logger`, `message` and `exception`.",
            flag="--log-format",
        ),
    ] = "text"
    query_log: Annotated[
        Logged,
        Declaration(
            one_of(Logged),
            "Which queries are logged, in the common format of CoreDNS: `all`, `denials` (NXDOMAIN "
            "and answers without records), `errors` (SERVFAIL, REFUSED and so on), or `off`, the "
            "default: each line costs more than the answer.",
        ),
    ] = "off"
    query_log_sample: Annotated[
        int,
        Declaration(
            whole_number(1, 1_000_000),
            "Of the queries that `query_log` selects, each n-th one is logged. Default 1: all.",
        ),
    ] = 1
    consul: ConsulSettings = ConsulSettings()
    dns: DNSSettings = DNSSettings()
    tls: TLSSettings = TLSSettings()
    sync: SyncSettings = SyncSettings()


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, as declared. `path` is its section and key: `dns.soa.min_ttl`."""

    path: str
    default: Any
    declaration: Declaration

    @property
    def section(self) -> str:
        """The TOML table that contains it; empty for the top level."""
        return self.path.rpartition(".")[0]

    @property
    def key(self) -> str:
        """Its name within the section."""
        return self.path.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "CONSULDNS_" + self.path.replace(".", "_").upper()


def declared() -> dict[str, Setting]:
    """All settings by path, in the order of declaration, the top level first."""
    return {
        path: Setting(path, default, declaration)
        for path, default, declaration in _fields(Settings(), "")
    }


def by_path(settings: Settings) -> dict[str, Any]:
    """The values by path, in the same order."""
    return {path: value for path, value, _ in _fields(settings, "")}


def sections() -> dict[str, str]:
    """The sections (TOML tables) with a description of each; the top level is the empty name."""
    return {"": "", **dict(_sections(Settings(), ""))}


def _fields(section: msgspec.Struct, prefix: str) -> Iterator[tuple[str, Any, Declaration]]:
    annotations = get_type_hints(type(section), include_extras=True)
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if declarations := getattr(annotations[name], "__metadata__", ()):
            yield prefix + name, value, declarations[0]
        else:
            yield from _fields(value, f"{prefix}{name}.")


def _sections(section: msgspec.Struct, prefix: str) -> Iterator[tuple[str, str]]:
    annotations = get_type_hints(type(section), include_extras=True)
    for name in section.__struct_fields__:
        if not hasattr(annotations[name], "__metadata__"):
            below = getattr(section, name)
            yield prefix + name, type(below).__doc__ or ""
            yield from _sections(below, f"{prefix}{name}.")
