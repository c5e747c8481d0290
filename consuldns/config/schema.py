"""Every setting, declared once: type, default, how it is read, and what there is to know about it.

Everything else is derived from here: keys of the file, names in the environment, flags, `config
show`, and docs/reference/configuration.md. A setting `b` of section `a` has the key `b` under `[a]`
and the variable `CONSULDNS_A_B`. To add one, add a field here, and use it.

Names, meanings and defaults under `[dns]` are those of Consul's own `dns_config`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, get_type_hints

import msgspec

from consuldns.config.declaration import Declaration
from consuldns.config.sync import SyncSettings
from consuldns.config.values import (
    ADDRESS,
    BOOLEAN,
    DATACENTER,
    DNS_LABEL,
    DOMAIN,
    DURATION,
    FILE,
    HOST_PORT,
    OPTIONAL_DOMAIN,
    REVERSE_ZONE,
    SECRET,
    TEXT,
    URL,
    Secret,
    list_of,
    one_of,
    table_of,
    whole_number,
)
from consuldns.dns.policy import PodNames
from consuldns.logs import Level
from consuldns.sockets import HostPort

SECONDS = whole_number(0, 2**31 - 1)  # RFC 1035 3.3.13 with RFC 2181 section 8
NO_TIME = timedelta()


class ConsulSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The Consul agent that the data come from."""

    address: Annotated[
        str,
        Declaration(
            URL,
            "Base URL of the HTTP API of a Consul agent. The default is the port of Consul's own "
            "agent on the same machine, which is where it should run.",
            flag="--consul-addr",
            consul_variable="CONSUL_HTTP_ADDR",
        ),
    ] = "http://127.0.0.1:8500"
    token: Annotated[
        Secret,
        Declaration(
            SECRET,
            "ACL token. It needs `service:read` and `node:read` on all that is to be answered, and "
            "`key:read` on reverse zones. Not both this and `token_file`. Default: none, which is "
            "right for a Consul without ACLs.",
            consul_variable="CONSUL_HTTP_TOKEN",
        ),
    ] = Secret()
    token_file: Annotated[
        str,
        Declaration(
            FILE,
            "File that holds the ACL token. Better than `token`: it shows in no process list and "
            "no dump of the environment.",
            consul_variable="CONSUL_HTTP_TOKEN_FILE",
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Declaration(
            FILE,
            "File with the certificates (PEM) of the authorities that may sign Consul's "
            "certificate. Default: those of the system.",
            consul_variable="CONSUL_CACERT",
        ),
    ] = ""
    client_certificate: Annotated[
        str,
        Declaration(
            FILE,
            "File with our own certificate (PEM), for a Consul that asks for one "
            "(`verify_incoming`). Needs `client_key`.",
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
            "Whether Consul's certificate is checked. Without, anyone between can read the token.",
            consul_variable="CONSUL_HTTP_SSL_VERIFY",
        ),
    ] = True
    tls_server_name: Annotated[
        str,
        Declaration(
            TEXT,
            "Name that Consul's certificate must have, if it is not the host of `address`; usually "
            "`server.<datacenter>.<domain>`.",
            consul_variable="CONSUL_TLS_SERVER_NAME",
        ),
    ] = ""
    datacenter: Annotated[
        str,
        Declaration(
            DATACENTER,
            "Datacenter of names that say none. Default: the one of the agent, which is asked.",
        ),
    ] = ""
    connections: Annotated[
        int,
        Declaration(
            whole_number(8, 190),
            "Connections to Consul at most. Each service that is asked for often holds one, up to "
            "this. An agent refuses more than 200 from one address "
            "(`limits.http_max_conns_per_client`), and others on the machine need some.",
        ),
    ] = 32


class StartOfAuthoritySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The SOA record of the domain, in seconds. Names and defaults are Consul's."""

    refresh: Annotated[
        int, Declaration(SECONDS, "REFRESH. No one transfers the zone, so nothing follows from it.")
    ] = 3600
    retry: Annotated[int, Declaration(SECONDS, "RETRY. As `refresh`.")] = 600
    expire: Annotated[int, Declaration(SECONDS, "EXPIRE. As `refresh`.")] = 86400
    min_ttl: Annotated[
        int,
        Declaration(
            SECONDS,
            "MINIMUM, and the TTL of the SOA: how long resolvers may remember that a name does not "
            "exist (RFC 2308). Default 0: a service that comes up is found at once.",
        ),
    ] = 0


class KubernetesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Names of Kubernetes services, from what the sync worker has written to Consul."""

    ttl: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "TTL of their records, and of denials in a cluster's own zone. Default: CoreDNS's.",
        ),
    ] = timedelta(seconds=5)
    zones: Annotated[
        Mapping[str, str],
        Declaration(
            table_of(DNS_LABEL, name=DOMAIN),
            "Zones beside `<datacenter>.<domain>`, each with the name of its cluster: "
            '`"cluster.local" = "kubernetes"`. Each is served with authority. A zone set as '
            "`sync.zone` is served without being listed here. Default: none.",
        ),
    ] = msgspec.field(default_factory=dict)
    pods: Annotated[
        PodNames,
        Declaration(
            one_of(PodNames),
            "What `10-1-2-3.<namespace>.pod.<zone>` is. `insecure`: the address that it spells; "
            "`verified`: that, if it is the address of a pod in the catalog, in that namespace. "
            "Default: no such names, since with `insecure` anyone may have a name for any address.",
        ),
    ] = "disabled"
    ignore_empty: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether a service with a cluster IP, but without a ready endpoint, does not exist. "
            "Default: it does, as in Kubernetes. A headless service without one never does.",
        ),
    ] = False
    consul_k8s_prefixes: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(TEXT),
            "What consul-k8s puts before the names of services (`consulPrefix` of its chart), so "
            "that their nested names do without: with `k8s-`, `cart.shop.service.consul` is the "
            "service `k8s-cart-shop`. Several are tried in this order. Default: no prefix.",
        ),
    ] = ("",)


class DNSSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered. Names, meanings and defaults are those of Consul's `dns_config`."""

    domain: Annotated[
        str, Declaration(DOMAIN, "Domain that is answered for: `domain` of the Consul agents.")
    ] = "consul"
    alt_domain: Annotated[
        str, Declaration(OPTIONAL_DOMAIN, "A second domain with the same names. Default: none.")
    ] = ""
    node_ttl: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "TTL of nodes' records and of NS records. Default 0: resolvers always ask, and always "
            "get what Consul knows.",
        ),
    ] = NO_TIME
    service_ttl: Annotated[
        Mapping[str, timedelta],
        Declaration(
            table_of(DURATION),
            "TTL of services' records, by name of the service. A name may end in `*`; an exact "
            "name wins over the longest beginning, and that over `*`. What none fits has 0.",
        ),
    ] = msgspec.field(default_factory=dict)
    only_passing: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether instances with a check in state warning are left out, too. Those in state "
            "critical always are.",
        ),
    ] = False
    enable_additional_node_meta_txt: Annotated[
        bool,
        Declaration(
            BOOLEAN, "Whether the metadata of nodes come along as TXT in the additional section."
        ),
    ] = True
    soa: StartOfAuthoritySettings = StartOfAuthoritySettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    reverse_zones: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(REVERSE_ZONE),
            "Networks, or names below in-addr.arpa and ip6.arpa, whose reverse names are answered "
            "with authority: an unknown address there is NXDOMAIN. Reverse zones in Consul's KV "
            "tree need not be listed. Default: the private ranges of RFC 1918, RFC 6598 and RFC "
            "4193; an address elsewhere is refused unless it is known.",
        ),
    ] = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
    name_server_addresses: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(ADDRESS),
            "Addresses of `ns.<domain>`, the name server that the SOA names. Default: the "
            "addresses of `listen`, without 0.0.0.0 and ::.",
        ),
    ] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of a process."""

    listen: Annotated[
        tuple[HostPort, ...],
        Declaration(
            list_of(HOST_PORT, at_least_one=True),
            "Addresses to answer DNS on, UDP and TCP. The flag may be repeated. The default needs "
            "no privileges and disturbs neither a resolver (53) nor Consul's own DNS (8600) on the "
            "same machine.",
            flag="--listen",
        ),
    ] = (HostPort("127.0.0.1", 8653),)
    workers: Annotated[
        int,
        Declaration(
            whole_number(0, 256),
            "Processes that answer. 0 is one for each CPU that the process may use.",
            flag="--workers",
        ),
    ] = 0
    admin_addr: Annotated[
        HostPort,
        Declaration(
            HOST_PORT,
            "Address of `/metrics`, `/health` and `/ready` over HTTP. Default: the port that "
            "CoreDNS has its metrics on, for this machine only, as there is no access control.",
            flag="--admin-addr",
        ),
    ] = HostPort("127.0.0.1", 9153)
    log_level: Annotated[
        Level,
        Declaration(
            one_of(Level),
            "What is logged, of this severity and above. `debug` adds requests to Consul with "
            "status and time, views that were read, and messages between the processes; it never "
            "shows tokens.",
            flag="--log-level",
        ),
    ] = "info"
    consul: ConsulSettings = ConsulSettings()
    dns: DNSSettings = DNSSettings()
    sync: SyncSettings = SyncSettings()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as declared. `path` is its section and key: `dns.soa.min_ttl`."""

    path: str
    default: Any
    declaration: Declaration

    @property
    def section(self) -> str:
        """The TOML table that it is in; empty for the top level."""
        return self.path.rpartition(".")[0]

    @property
    def key(self) -> str:
        """Its name within the section."""
        return self.path.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """Its name in the environment."""
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
    """The sections (TOML tables) with what each is about; the top level is the empty name."""
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
