"""What settings of a Consul agent mean here: one table, for `config import` and for errors.

Keys are paths in Consul's configuration, as in its documentation (the names have been the same
since Consul 1.0).
"""

# Same name and meaning under [dns].
TAKEN = (
    *("allow_stale", "max_stale", "node_ttl", "service_ttl", "only_passing", "udp_answer_limit"),
    *("a_record_limit", "enable_truncate", "disable_compression"),
    *("enable_additional_node_meta_txt", "recursor_timeout", "recursor_strategy"),
    *("soa.refresh", "soa.retry", "soa.expire", "soa.min_ttl"),
)
TAKEN_FROM_TOP = ("domain", "alt_domain", "recursors", "translate_wan_addrs")

# What is something else here, or nothing.
EXPLAINED = {
    "dns_config.use_cache": (
        "has no counterpart: consuldns follows Consul's data with blocking queries, and always "
        "answers from memory"
    ),
    "dns_config.cache_max_age": (
        "has no counterpart: answers are as old as the last change, and marked stale if Consul is "
        "unreachable"
    ),
    "dns_config.prefer_namespace": (
        "has no counterpart: a label after the service is a datacenter, as in Consul by default"
    ),
    "ports.dns": "is the port in 'listen' here",
    "addresses.dns": "are the addresses in 'listen' here",
    "client_addr": "is the address in 'listen' here, if 'addresses.dns' is not set",
    "datacenter": "is not needed: the agent tells its datacenter",
    "ports.http": "is the port in 'consul.address' here",
    "addresses.http": "is the address in 'consul.address' here",
    "acl.tokens.dns": "is 'consul.token_file' here: write the token into a file of its own",
    "acl.tokens.default": "is 'consul.token_file' here, if 'acl.tokens.dns' is not set",
    "dns_config": "is [dns] here",
    "ports": "is the port in 'listen', and in 'consul.address', here",
    "addresses": "are the addresses in 'listen', and in 'consul.address', here",
    "acl": "has 'consul.token_file' as its counterpart here",
}


def explanation(path: str) -> str | None:
    """What a key of Consul's means here, None if it is not one; `path` in our file or in Consul's.

    For an error about a key that somebody has copied.
    """
    for key in (path, f"dns_config.{path.removeprefix('dns.')}"):
        if key in EXPLAINED:
            return EXPLAINED[key]
    return None
