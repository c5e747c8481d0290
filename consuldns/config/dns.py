"""The settings under `[dns]`: how queries are answered, and what is forwarded.

Names, meanings and defaults are those of Consul's own `dns_config`, where it has them and they do
not mislead clients (ADR 24).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

import msgspec

from consuldns.config.declaration import Declaration
from consuldns.config.values import (
    ADDRESS,
    BOOLEAN,
    DNS_LABEL,
    DOMAIN,
    DOMAIN_OR_ROOT,
    DURATION,
    NETWORK,
    REVERSE_ZONE,
    TEXT,
    UPSTREAM,
    list_of,
    one_of,
    table_of,
    whole_number,
)
from consuldns.dns.policy import MAX_IDENTITY, PRIVATE_NETWORKS, AnswerOrder, PodNames, Strategy
from consuldns.sockets import HostPort

SECONDS = whole_number(0, 2**31 - 1)  # RFC 1035 3.3.13 with RFC 2181 section 8
NO_TIME = timedelta()


class StartOfAuthoritySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The SOA record of the domain, in seconds. Names and defaults are Consul's."""

    refresh: Annotated[
        int, Declaration(SECONDS, "REFRESH. It has no effect, because zones are not transferred.")
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
    """Names of Kubernetes services, from the data that the sync worker has written to Consul."""

    ttl: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "TTL of records of Kubernetes services, and of negative answers in a cluster's own "
            "zone. Default: that of CoreDNS.",
        ),
    ] = timedelta(seconds=5)
    zones: Annotated[
        Mapping[str, str],
        Declaration(
            table_of(DNS_LABEL, name=DOMAIN),
            "Zones in addition to `<datacenter>.<domain>`, each with the name of its cluster: "
            '`"cluster.local" = "kubernetes"`. The server is authoritative for each of them. The '
            "zone in `sync.zone` need not be listed here. Default: none.",
        ),
    ] = msgspec.field(default_factory=dict)
    pods: Annotated[
        PodNames,
        Declaration(
            one_of(PodNames),
            "How `10-1-2-3.<namespace>.pod.<zone>` is answered. `insecure`: with the address in "
            "the name. `verified`: the same, but only if a pod in the catalog has that address in "
            "that namespace. `disabled` (the default): such names do not exist, because with "
            "`insecure` every address has a name.",
        ),
    ] = "disabled"
    ignore_empty: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether the name of a service with a cluster IP does not exist while the service has "
            "no ready endpoint. Default: it does exist, as in Kubernetes. The name of a headless "
            "service without a ready endpoint never exists.",
        ),
    ] = False
    consul_k8s_prefixes: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(TEXT),
            "Prefixes that consul-k8s adds to the names of services (`consulPrefix` in its chart). "
            "Nested names leave them out: with `k8s-`, `cart.shop.service.consul` is the service "
            "`k8s-cart-shop`. Several prefixes are tried in this order. Default: no prefix.",
        ),
    ] = ("",)


class DNSSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How queries are answered. Names, meanings and defaults are those of Consul's `dns_config`."""

    domain: Annotated[
        str,
        Declaration(
            DOMAIN_OR_ROOT,
            "Domain that is served: `domain` of the Consul agents. `.` is the root: "
            "`web.service` is a name then, and what Consul does not know is forwarded, if there "
            "are `recursors`.",
        ),
    ] = "consul"
    alt_domain: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(DOMAIN),
            "Further domains with the same names, one or a list (Consul has at most one). Answers "
            "are in the domain of the query. Default: none.",
        ),
    ] = ()
    node_ttl: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "TTL of records of nodes, and of NS records. Default 0: resolvers do not cache them, "
            "so clients always see the current data.",
        ),
    ] = NO_TIME
    service_ttl: Annotated[
        Mapping[str, timedelta],
        Declaration(
            table_of(DURATION),
            "TTL of records of services, by name of the service. A name may end in `*`; an exact "
            "match wins over the longest matching prefix, which wins over `*`. Services that match "
            "nothing have a TTL of 0.",
        ),
    ] = msgspec.field(default_factory=dict)
    only_passing: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether instances with a check in state `warning` are left out of answers. Instances "
            "in state `critical` always are.",
        ),
    ] = False
    enable_additional_node_meta_txt: Annotated[
        bool,
        Declaration(
            BOOLEAN, "Whether the metadata of nodes are added as TXT records (additional section)."
        ),
    ] = True
    allow_stale: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether changes may be read from any of Consul's servers, which works without a "
            "leader. If disabled, every read goes to the leader.",
        ),
    ] = True
    max_stale: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "How long a server may have been out of contact with the leader, for its data to be "
            "used. Beyond, the leader is asked. Default: that of Consul, ten years, which means "
            "no limit.",
        ),
    ] = timedelta(hours=87_600)
    answer_order: Annotated[
        AnswerOrder,
        Declaration(
            one_of(AnswerOrder),
            "Order of the addresses of a service. `random` (the default): each comes first equally "
            "often, as in Consul. `weighted`: each comes first in proportion to its weight "
            "(`Weights` of its registration), for clients that take the first address. `nearest`: "
            "by network distance from the agent, as far as Consul knows it (its network "
            "coordinates), for SRV as well.",
        ),
    ] = "random"
    all_reverse_names: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether PTR has every name of an address: of all nodes and services that have it. "
            "Default: the first, a node before a service, as in Consul.",
        ),
    ] = False
    udp_answer_limit: Annotated[
        int,
        Declaration(
            whole_number(0, 2**31 - 1),
            "Most records in the answer to a client without EDNS over UDP; more than 8 count as 8, "
            "as in Consul. Default 0: as many as fit into the message. Consul's own default is 3.",
        ),
    ] = 0
    a_record_limit: Annotated[
        int,
        Declaration(
            whole_number(0, 2**31 - 1),
            "Most addresses in an answer, over UDP and TCP, chosen at random. SRV is not limited. "
            "Default 0: all.",
        ),
    ] = 0
    enable_truncate: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether the flag TC says that an answer is not complete, so that clients ask again "
            "over TCP. Consul's own default is false, which hides instances from clients.",
        ),
    ] = True
    disable_compression: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether names in answers are written out, for clients that cannot read compressed "
            "ones. Answers become up to three times as large.",
        ),
    ] = False
    max_udp_size: Annotated[
        int,
        Declaration(
            whole_number(0, 65_507),
            "Largest reply over UDP in octets, to clients that accept as much (EDNS). Default 0: "
            "1232, which fits every network without fragments; if all addresses in `listen` are "
            "loopback addresses, whatever the client accepts. HAProxy cannot use TCP: for it, set "
            "this to its `accepted_payload_size`. Values below 512 count as 512.",
        ),
    ] = 0
    identity: Annotated[
        str,
        Declaration(
            TEXT,
            "Which server this is, for those who ask for it: with the EDNS option NSID (RFC 5001, "
            "`dig +nsid`), or for TXT of `id.server` and `hostname.bind` in class CH (RFC 4892). "
            f"At most {MAX_IDENTITY} octets. Unset by default: they are not answered.",
        ),
    ] = ""
    show_version: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether TXT of `version.server` and `version.bind` in class CH is answered with the "
            "version. Off by default: it tells attackers as well.",
        ),
    ] = False
    translate_wan_addrs: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether the `wan` addresses of nodes and services count in answers about other "
            "datacenters.",
        ),
    ] = False
    soa: StartOfAuthoritySettings = StartOfAuthoritySettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    reverse_zones: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(REVERSE_ZONE),
            "Reverse zones that the server is authoritative for, as networks or as names below "
            "in-addr.arpa and ip6.arpa: an unknown address in them is NXDOMAIN. Reverse zones in "
            "Consul's KV tree need not be listed. Default: the private ranges of RFC 1918, RFC "
            "6598 and RFC 4193. Outside of these zones, an unknown address is REFUSED.",
        ),
    ] = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
    recursors: Annotated[
        tuple[HostPort, ...],
        Declaration(
            list_of(UPSTREAM),
            "DNS servers that all names outside of the own zones are forwarded to, and that "
            "aliases to such names are followed with. The default port is 53. Default: none, such "
            "names are REFUSED, and clients get aliases as they are.",
        ),
    ] = ()
    allow_recursion: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(NETWORK),
            "Networks of the clients whose queries may be forwarded. Others are answered from the "
            "own zones only, and REFUSED otherwise, so that nobody outside can have this server "
            'ask for them. `["0.0.0.0/0", "::/0"]` stands for everybody. Default: this host and '
            "private networks.",
        ),
    ] = PRIVATE_NETWORKS
    rate_limit: Annotated[
        int,
        Declaration(
            whole_number(0, 1_000_000),
            "How many replies with the same content a network of clients (/24, /56) gets over UDP "
            "from a worker in a second. Beyond that half of the replies are truncated, so that "
            "clients change to TCP, and the others are dropped: queries with forged addresses "
            "cannot be used to flood somebody. For the same reason no reply is more than ten times "
            "as long as its query. Clients with a valid DNS cookie have no limit. 0: nobody has.",
        ),
    ] = 200
    rate_limit_exempt: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(NETWORK),
            "Networks of clients that `rate_limit` is not for. Default: this host and private "
            "networks.",
        ),
    ] = PRIVATE_NETWORKS
    recursor_timeout: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "Time that one upstream server has to answer, before the next one is asked. No query "
            "waits longer than 5 s in all.",
        ),
    ] = timedelta(seconds=2)
    recursor_strategy: Annotated[
        Strategy,
        Declaration(
            one_of(Strategy),
            "In which order upstream servers are asked: as they are listed, or in a random order "
            "for each question. Servers that have failed lately are asked last.",
        ),
    ] = "sequential"
    forward: Annotated[
        Mapping[str, tuple[HostPort, ...]],
        Declaration(
            table_of(list_of(UPSTREAM, at_least_one=True), name=DOMAIN),
            "DNS servers of zones of their own: "
            '`"corp.example" = ["10.0.0.2", "10.0.0.3"]`. The longest zone that a name is in '
            "counts, the own zones included. In the environment, one server for each zone. "
            "Default: none.",
        ),
    ] = msgspec.field(default_factory=dict)
    name_servers: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(DOMAIN),
            "Names of this server and its replicas, for the NS records of every zone; the first is "
            "the primary name server in SOA records. Each must have an address: in the zone that "
            "it is in, or as a node in Consul if it is `<node>.node.<datacenter>.<domain>`. "
            "Default: `ns.<domain>`, and `ns.dns.<zone>` in zones of Kubernetes clusters.",
        ),
    ] = ()
    name_server_addresses: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(ADDRESS),
            "Addresses of `ns.<domain>`, the primary name server in the SOA record. Default: the "
            "addresses in `listen`, except 0.0.0.0 and ::.",
        ),
    ] = ()
