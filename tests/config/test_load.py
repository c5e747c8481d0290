"""Where values come from, which source wins, and what is said of a value that cannot be used."""

import itertools
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consuldns.config.load import Level, load, unknown_variables
from consuldns.config.schema import ConsulSettings, Settings, declared
from consuldns.config.values import Secret, format_value
from consuldns.errors import ConfigError
from consuldns.sockets import HostPort

UPSTREAMS = (HostPort("10.0.0.2", 53), HostPort("::1", 5353))


def written(folder: Path, text: str) -> Path:
    file = folder / "consuldns.toml"
    file.write_text(text)
    return file


def refusal(
    environment: Mapping[str, str] | None = None,
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> str:
    with pytest.raises(ConfigError) as error:
        load(file=file, environment=environment or {}, flags=flags)
    return str(error.value)


# --- precedence ----------------------------------------------------------------------------------

SOURCES = {
    Level.FILE: "http://file:1",
    Level.CONSUL_ENVIRONMENT: "http://consul-variable:1",
    Level.ENVIRONMENT: "http://variable:1",
    Level.FLAG: "http://flag:1",
}


@pytest.mark.parametrize(
    "present",
    [
        pytest.param(levels, id="+".join(level.name.lower() for level in levels) or "none")
        for count in range(5)
        for levels in itertools.combinations(SOURCES, count)
    ],
)
def test_the_highest_source_wins(present: tuple[Level, ...], tmp_path: Path) -> None:
    file = written(tmp_path, f'[consul]\naddress = "{SOURCES[Level.FILE]}"\n')
    variables = {
        Level.CONSUL_ENVIRONMENT: "CONSUL_HTTP_ADDR",
        Level.ENVIRONMENT: "CONSULDNS_CONSUL_ADDRESS",
    }
    configuration = load(
        file=file if Level.FILE in present else None,
        environment={variables[each]: SOURCES[each] for each in present if each in variables},
        flags={"consul.address": SOURCES[Level.FLAG] if Level.FLAG in present else None},
    )
    winner = max(present, default=Level.DEFAULT)
    assert configuration.origins["consul.address"].level is winner
    assert configuration.settings.consul.address == SOURCES.get(winner, "http://127.0.0.1:8500")
    assert (
        configuration.origins["consul.address"].text
        == {
            Level.DEFAULT: "default",
            Level.FILE: f"{file}:2",
            Level.CONSUL_ENVIRONMENT: "environment CONSUL_HTTP_ADDR",
            Level.ENVIRONMENT: "environment CONSULDNS_CONSUL_ADDRESS",
            Level.FLAG: "--consul-addr",
        }[winner]
    )


def test_without_sources_all_is_default() -> None:
    configuration = load(environment={}, flags={"listen": ()})
    assert configuration.settings == Settings()
    assert set(configuration.origins) == set(declared())
    assert {origin.text for origin in configuration.origins.values()} == {"default"}


def test_a_command_may_have_defaults_of_its_own() -> None:
    own = {"listen": "127.0.0.1:8600"}
    plain = load(environment={}, defaults=own)
    assert plain.settings.listen == (HostPort("127.0.0.1", 8600),)
    set_elsewhere = load(environment={"CONSULDNS_LISTEN": "127.0.0.1:9"}, defaults=own)
    assert set_elsewhere.settings.listen == (HostPort("127.0.0.1", 9),)


# --- the file ------------------------------------------------------------------------------------


def test_a_whole_file(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        listen = ["127.0.0.1:53", "[::1]:53"]
        workers = 2
        [consul]
        token = "t"
        verify = false
        [dns]
        node_ttl = 10
        only_passing = true
        reverse_zones = ["10.0.0.0/8", "2.0.192.in-addr.arpa"]
        soa = { min_ttl = 5 }
        [dns.service_ttl]
        "*" = "5s"
        web = "1m"
        """,
    )
    configuration = load(file=file, environment={})
    settings = configuration.settings
    assert settings.listen == (HostPort("127.0.0.1", 53), HostPort("::1", 53))
    assert settings.consul == ConsulSettings(token=Secret("t"), verify=False)
    assert settings.dns.node_ttl == timedelta(seconds=10)
    assert settings.dns.service_ttl == {"*": timedelta(seconds=5), "web": timedelta(minutes=1)}
    assert settings.dns.soa.min_ttl == 5
    assert settings.dns.reverse_zones == ("10.0.0.0/8", "2.0.192.in-addr.arpa")
    lines = {
        path: int(origin.text.rpartition(":")[2])
        for path, origin in configuration.origins.items()
        if origin.level is Level.FILE
    }
    assert lines == {
        "listen": 2,
        "workers": 3,
        "consul.token": 5,
        "consul.verify": 6,
        "dns.node_ttl": 8,
        "dns.only_passing": 9,
        "dns.reverse_zones": 10,
        "dns.soa.min_ttl": 11,
        "dns.service_ttl": 12,
    }


def test_the_defaults_can_be_written_to_a_file_and_read_back(tmp_path: Path) -> None:
    lines = [f"{path} = {format_value(each.default)}" for path, each in declared().items()]
    file = written(tmp_path, "\n".join(lines))
    assert load(file=file, environment={}).settings == Settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "[dns]\nnode_tll = 1\n",
            ":2: unknown setting dns.node_tll (did you mean dns.node_ttl?)",
            id="misspelt",
        ),
        pytest.param(
            'domain = "consul"\n',
            ":1: unknown setting domain (did you mean dns.domain?)",
            id="wrong-section",
        ),
        pytest.param(
            "\n[cosnul]\ntoken = 'x'\n",
            ":2: unknown setting cosnul (did you mean [consul]?)",
            id="misspelt-section",
        ),
        pytest.param(
            "\nqqq = 1\n",
            ":2: unknown setting qqq (see 'consuldns config reference')",
            id="like-nothing",
        ),
        pytest.param("dns = 5\n", ":1: dns must be a table (write [dns])", id="no-table"),
        pytest.param(
            "[dns]\nnode_ttl = 'ten'\n",
            ':2: dns.node_ttl must be a duration such as "10s", "5m" or "1h30m", not \'ten\'',
            id="value",
        ),
        pytest.param(
            "dns.soa.min_ttl = -1\n",
            ":1: dns.soa.min_ttl must be a whole number from 0 to 2147483647, not -1",
            id="range",
        ),
        pytest.param(
            '[dns.kubernetes.zones]\n"cluster.local" = "east"\n"Cluster.local." = "west"\n',
            ":1: dns.kubernetes.zones sets cluster.local twice",
            id="zone-twice",
        ),
        pytest.param(
            '[dns.kubernetes]\nzones = {"consul" = "east"}\n',
            ":2: dns.kubernetes.zones contains consul, which is Consul's domain "
            "(remove it: clusters are at <datacenter>.consul)",
            id="zone-is-the-domain",
        ),
        pytest.param(
            '[dns.kubernetes]\nzones = {"cluster.local" = "east"}\n'
            '[sync]\ncluster = "west"\nzone = "cluster.local"\n',
            ":5: sync.zone cluster.local is the zone of cluster 'east' in dns.kubernetes.zones "
            "(give each cluster a zone of its own)",
            id="zone-of-two-clusters",
        ),
        pytest.param(
            "workers = \n",
            ":1: is not valid TOML: Invalid value: 'workers ='",
            id="no-toml",
        ),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(
    text: str, problem: str, tmp_path: Path
) -> None:
    file = written(tmp_path, text)
    assert refusal(file=file) == f"{file}{problem}"


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    file = tmp_path / "none.toml"
    message = f"{file}: cannot be read: No such file or directory (see --config)"
    assert refusal(file=file) == message


# --- the environment -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("CONSULDNS_LISTEN", "127.0.0.1:1,[::1]:2", "listen", None),
        ("CONSULDNS_WORKERS", "3", "workers", 3),
        ("CONSULDNS_LOG_LEVEL", "debug", "log_level", "debug"),
        ("CONSULDNS_LOG_FORMAT", "json", "log_format", "json"),
        ("CONSULDNS_QUERY_LOG", "denials", "query_log", "denials"),
        ("CONSULDNS_QUERY_LOG_SAMPLE", "9", "query_log_sample", 9),
        ("CONSULDNS_TLS_LISTEN", "127.0.0.1:853", "tls.listen", (HostPort("127.0.0.1", 853),)),
        ("CONSULDNS_TLS_CERTIFICATE", __file__, "tls.certificate", __file__),
        ("CONSULDNS_TLS_KEY", __file__, "tls.key", __file__),
        ("CONSULDNS_DNS_ALLOW_RECURSION", "10.1.0.0/16", "dns.allow_recursion", ("10.1.0.0/16",)),
        ("CONSULDNS_DNS_RATE_LIMIT", "7", "dns.rate_limit", 7),
        (
            "CONSULDNS_DNS_RATE_LIMIT_EXEMPT",
            "10.1.0.0/16",
            "dns.rate_limit_exempt",
            ("10.1.0.0/16",),
        ),
        ("CONSULDNS_SNAPSHOT", "/var/lib/x", "snapshot", "/var/lib/x"),
        ("CONSULDNS_LAMEDUCK", "5s", "lameduck", timedelta(seconds=5)),
        ("CONSULDNS_ADMIN_ADDR", "127.0.0.1:1", "admin_addr", HostPort("127.0.0.1", 1)),
        ("CONSULDNS_CONSUL_ADDRESS", "https://c:1", "consul.address", "https://c:1"),
        ("CONSULDNS_CONSUL_TOKEN", "t", "consul.token", Secret("t")),
        ("CONSULDNS_CONSUL_TOKEN_FILE", os.devnull, "consul.token_file", os.devnull),
        ("CONSULDNS_CONSUL_HTTP_AUTH", "u:p", "consul.http_auth", Secret("u:p")),
        ("CONSULDNS_CONSUL_NAMESPACE", "team", "consul.namespace", "team"),
        ("CONSULDNS_CONSUL_PARTITION", "east", "consul.partition", "east"),
        ("CONSULDNS_CONSUL_CA_PATH", "/", "consul.ca_path", "/"),
        ("CONSULDNS_CONSUL_CA_FILE", os.devnull, "consul.ca_file", os.devnull),
        ("CONSULDNS_CONSUL_CLIENT_CERTIFICATE", os.devnull, "consul.client_certificate", None),
        ("CONSULDNS_CONSUL_CLIENT_KEY", os.devnull, "consul.client_key", None),
        ("CONSULDNS_CONSUL_VERIFY", "false", "consul.verify", False),
        ("CONSULDNS_CONSUL_TLS_SERVER_NAME", "a.b", "consul.tls_server_name", "a.b"),
        ("CONSULDNS_CONSUL_DATACENTER", "dc2", "consul.datacenter", "dc2"),
        ("CONSULDNS_CONSUL_CONNECTIONS", "8", "consul.connections", 8),
        ("CONSULDNS_DNS_DOMAIN", "a.b.", "dns.domain", "a.b"),
        ("CONSULDNS_DNS_ALT_DOMAIN", "alt", "dns.alt_domain", ("alt",)),
        ("CONSULDNS_DNS_NODE_TTL", "1m", "dns.node_ttl", timedelta(minutes=1)),
        ("CONSULDNS_DNS_SERVICE_TTL", "*=1s", "dns.service_ttl", {"*": timedelta(seconds=1)}),
        ("CONSULDNS_DNS_ONLY_PASSING", "1", "dns.only_passing", True),
        (
            "CONSULDNS_DNS_ENABLE_ADDITIONAL_NODE_META_TXT",
            "0",
            "dns.enable_additional_node_meta_txt",
            False,
        ),
        ("CONSULDNS_DNS_KUBERNETES_TTL", "9", "dns.kubernetes.ttl", timedelta(seconds=9)),
        (
            "CONSULDNS_DNS_KUBERNETES_ZONES",
            "Cluster.Local.=east,k8s.consul=east",
            "dns.kubernetes.zones",
            {"cluster.local": "east", "k8s.consul": "east"},
        ),
        ("CONSULDNS_DNS_KUBERNETES_PODS", "insecure", "dns.kubernetes.pods", "insecure"),
        (
            "CONSULDNS_DNS_KUBERNETES_CONSUL_K8S_PREFIXES",
            "k8s-,east-",
            "dns.kubernetes.consul_k8s_prefixes",
            ("k8s-", "east-"),
        ),
        ("CONSULDNS_DNS_KUBERNETES_IGNORE_EMPTY", "1", "dns.kubernetes.ignore_empty", True),
        ("CONSULDNS_DNS_SOA_REFRESH", "1", "dns.soa.refresh", 1),
        ("CONSULDNS_DNS_SOA_RETRY", "1", "dns.soa.retry", 1),
        ("CONSULDNS_DNS_SOA_EXPIRE", "1", "dns.soa.expire", 1),
        ("CONSULDNS_DNS_SOA_MIN_TTL", "1", "dns.soa.min_ttl", 1),
        ("CONSULDNS_DNS_REVERSE_ZONES", "10.0.0.0/8", "dns.reverse_zones", ("10.0.0.0/8",)),
        ("CONSULDNS_DNS_ALLOW_STALE", "false", "dns.allow_stale", False),
        ("CONSULDNS_DNS_MAX_STALE", "1s", "dns.max_stale", timedelta(seconds=1)),
        ("CONSULDNS_DNS_ANSWER_ORDER", "weighted", "dns.answer_order", "weighted"),
        ("CONSULDNS_DNS_ALL_REVERSE_NAMES", "1", "dns.all_reverse_names", True),
        ("CONSULDNS_DNS_UDP_ANSWER_LIMIT", "3", "dns.udp_answer_limit", 3),
        ("CONSULDNS_DNS_A_RECORD_LIMIT", "2", "dns.a_record_limit", 2),
        ("CONSULDNS_DNS_ENABLE_TRUNCATE", "false", "dns.enable_truncate", False),
        ("CONSULDNS_DNS_DISABLE_COMPRESSION", "true", "dns.disable_compression", True),
        ("CONSULDNS_DNS_MAX_UDP_SIZE", "8192", "dns.max_udp_size", 8192),
        ("CONSULDNS_DNS_TRANSLATE_WAN_ADDRS", "1", "dns.translate_wan_addrs", True),
        ("CONSULDNS_DNS_IDENTITY", "ns1", "dns.identity", "ns1"),
        ("CONSULDNS_DNS_SHOW_VERSION", "true", "dns.show_version", True),
        ("CONSULDNS_DNS_RECURSORS", "10.0.0.2,[::1]:5353", "dns.recursors", UPSTREAMS),
        ("CONSULDNS_DNS_RECURSOR_TIMEOUT", "1s", "dns.recursor_timeout", timedelta(seconds=1)),
        ("CONSULDNS_DNS_RECURSOR_STRATEGY", "random", "dns.recursor_strategy", "random"),
        (
            "CONSULDNS_DNS_FORWARD",
            "corp.example=10.0.0.2:53",
            "dns.forward",
            {"corp.example": UPSTREAMS[:1]},
        ),
        ("CONSULDNS_DNS_NAME_SERVERS", "a.example", "dns.name_servers", ("a.example",)),
        (
            "CONSULDNS_DNS_NAME_SERVER_ADDRESSES",
            "192.0.2.1",
            "dns.name_server_addresses",
            ("192.0.2.1",),
        ),
        ("CONSULDNS_SYNC_ENABLED", "1", "sync.enabled", True),
        ("CONSULDNS_SYNC_CLUSTER", "blue", "sync.cluster", "blue"),
        ("CONSULDNS_SYNC_KUBE_API", "http://k:1", "sync.kube_api", "http://k:1"),
        ("CONSULDNS_SYNC_KUBECONFIG", "a:b", "sync.kubeconfig", "a:b"),
        ("CONSULDNS_SYNC_CONTEXT", "c", "sync.context", "c"),
        ("CONSULDNS_SYNC_ALLOW_NAMESPACES", "a,b", "sync.allow_namespaces", ("a", "b")),
        ("CONSULDNS_SYNC_DENY_NAMESPACES", "a,b", "sync.deny_namespaces", ("a", "b")),
        ("CONSULDNS_SYNC_LABEL_SELECTOR", "a=b", "sync.label_selector", "a=b"),
        ("CONSULDNS_SYNC_DEFAULT", "0", "sync.default", False),
        ("CONSULDNS_SYNC_MODE", "both", "sync.mode", "both"),
        (
            "CONSULDNS_SYNC_VIP_WITHOUT_ENDPOINTS",
            "passing",
            "sync.vip_without_endpoints",
            "passing",
        ),
        ("CONSULDNS_SYNC_NOT_READY", "omit", "sync.not_ready", "omit"),
        ("CONSULDNS_SYNC_SERVE_TERMINATING", "1", "sync.serve_terminating", True),
        (
            "CONSULDNS_SYNC_NODE_PORT_ADDRESSES",
            "internal-only",
            "sync.node_port_addresses",
            "internal-only",
        ),
        ("CONSULDNS_SYNC_EXTERNAL_IPS", "1", "sync.external_ips", True),
        ("CONSULDNS_SYNC_LOAD_BALANCER_ENDPOINTS", "1", "sync.load_balancer_endpoints", True),
        ("CONSULDNS_SYNC_TYPES", "NodePort,ClusterIP", "sync.types", ("NodePort", "ClusterIP")),
        ("CONSULDNS_SYNC_PREFIX", "k-", "sync.prefix", "k-"),
        ("CONSULDNS_SYNC_FLAT_NAMES", "merge", "sync.flat_names", "merge"),
        ("CONSULDNS_SYNC_TAG", "t", "sync.tag", "t"),
        ("CONSULDNS_SYNC_ENDPOINT_NAMES", "1", "sync.endpoint_names", True),
        ("CONSULDNS_SYNC_POD_NAMES", "1", "sync.pod_names", True),
        ("CONSULDNS_SYNC_INGRESS", "host", "sync.ingress", "host"),
        ("CONSULDNS_SYNC_REVERSE", "manual", "sync.reverse", ("manual",)),
        ("CONSULDNS_SYNC_REVERSE_TARGET", "nested", "sync.reverse_target", "nested"),
        ("CONSULDNS_SYNC_REVERSE_VERIFY_PODS", "1", "sync.reverse_verify_pods", True),
        (
            "CONSULDNS_SYNC_CLUSTER_DOMAIN",
            "Kube.Example.",
            "sync.cluster_domain",
            "kube.example",
        ),
        ("CONSULDNS_SYNC_ZONE", "cluster.local", "sync.zone", "cluster.local"),
        ("CONSULDNS_SYNC_MASS_DELETE_HOLD", "1s", "sync.mass_delete_hold", timedelta(seconds=1)),
        ("CONSULDNS_SYNC_TRANSACTIONS_PER_SECOND", "9", "sync.transactions_per_second", 9),
        ("CONSULDNS_SYNC_ADMIN_ADDR", "127.0.0.1:1", "sync.admin_addr", HostPort("127.0.0.1", 1)),
        ("KUBECONFIG", "a:b", "sync.kubeconfig", "a:b"),
        ("CONSUL_HTTP_ADDR", "c:1", "consul.address", "http://c:1"),
        ("CONSUL_HTTP_SSL", "true", "consul.address", "https://127.0.0.1:8500"),
        ("CONSUL_HTTP_SSL", "false", "consul.address", "http://127.0.0.1:8500"),
        ("CONSUL_HTTP_TOKEN", "t", "consul.token", Secret("t")),
        ("CONSUL_HTTP_TOKEN_FILE", os.devnull, "consul.token_file", os.devnull),
        ("CONSUL_HTTP_ADDR", "unix:///run/c.sock", "consul.address", "unix:///run/c.sock"),
        ("CONSUL_HTTP_AUTH", "u:p", "consul.http_auth", Secret("u:p")),
        ("CONSUL_NAMESPACE", "team", "consul.namespace", "team"),
        ("CONSUL_PARTITION", "east", "consul.partition", "east"),
        ("CONSUL_CAPATH", "/", "consul.ca_path", "/"),
        ("CONSUL_CACERT", os.devnull, "consul.ca_file", os.devnull),
        ("CONSUL_CLIENT_CERT", os.devnull, "consul.client_certificate", None),
        ("CONSUL_CLIENT_KEY", os.devnull, "consul.client_key", None),
        ("CONSUL_HTTP_SSL_VERIFY", "false", "consul.verify", False),
        ("CONSUL_TLS_SERVER_NAME", "a.b", "consul.tls_server_name", "a.b"),
    ],
)
def test_each_variable(variable: str, text: str, path: str, value: object) -> None:
    pair = {
        "CONSULDNS_CONSUL_CLIENT_CERTIFICATE": "CONSULDNS_CONSUL_CLIENT_KEY",
        "CONSULDNS_CONSUL_CLIENT_KEY": "CONSULDNS_CONSUL_CLIENT_CERTIFICATE",
        "CONSUL_CLIENT_CERT": "CONSUL_CLIENT_KEY",
        "CONSUL_CLIENT_KEY": "CONSUL_CLIENT_CERT",
    }
    environment = {variable: text} | ({pair[variable]: text} if variable in pair else {})
    if variable == "CONSULDNS_TLS_LISTEN":
        environment |= dict.fromkeys(("CONSULDNS_TLS_CERTIFICATE", "CONSULDNS_TLS_KEY"), __file__)
    configuration = load(environment=environment)
    found: Any = configuration.settings
    for name in path.split("."):
        found = getattr(found, name)
    assert found == (text if value is None and variable in pair else value or found)
    if text != "false" or "VERIFY" in variable:
        assert configuration.origins[path].text == f"environment {variable}"


def test_the_table_above_has_every_variable() -> None:
    tables = [
        mark.args[1]
        for mark in test_each_variable.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    ]
    tested = {row[0] for row in tables[0]}
    settings = declared().values()
    assert {setting.variable for setting in settings} <= tested
    assert {setting.declaration.consul_variable for setting in settings} - {""} <= tested


def test_an_empty_variable_is_not_set() -> None:
    environment = {"CONSUL_HTTP_ADDR": "", "CONSULDNS_WORKERS": "", "CONSUL_HTTP_SSL": ""}
    assert load(environment=environment).settings == Settings()


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({"CONSUL_HTTP_ADDR": "http://c:1", "CONSUL_HTTP_SSL": "true"}, "https://c:1"),
        ({"CONSUL_HTTP_ADDR": "https://c:1", "CONSUL_HTTP_SSL": "false"}, "https://c:1"),
        ({"CONSULDNS_CONSUL_ADDRESS": "http://c:1", "CONSUL_HTTP_SSL": "true"}, "http://c:1"),
    ],
)
def test_consul_http_ssl_means_https(environment: dict[str, str], address: str) -> None:
    assert load(environment=environment).settings.consul.address == address


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        pytest.param(
            {"CONSUL_HTTP_ADDR": "unix://consul.sock"},
            "environment CONSUL_HTTP_ADDR: consul.address must have the whole path of a socket, as "
            "unix:///run/x, not 'unix://consul.sock'",
            id="unix",
        ),
        pytest.param(
            {"CONSUL_HTTP_SSL": "yes"},
            "environment CONSUL_HTTP_SSL: CONSUL_HTTP_SSL must be true or false, not 'yes'",
            id="ssl",
        ),
        pytest.param(
            {"CONSULDNS_CONSUL_TOKEN": "t", "CONSULDNS_CONSUL_TOKEN_FILE": os.devnull},
            "environment CONSULDNS_CONSUL_TOKEN_FILE: consul.token and consul.token_file are both "
            "set (remove one of them)",
            id="two-tokens",
        ),
        pytest.param(
            {"CONSUL_CLIENT_CERT": os.devnull},
            "environment CONSUL_CLIENT_CERT: consul.client_certificate has no key "
            "(set consul.client_key)",
            id="no-key",
        ),
        pytest.param(
            {"CONSUL_CLIENT_KEY": os.devnull},
            "environment CONSUL_CLIENT_KEY: consul.client_key has no certificate "
            "(set consul.client_certificate)",
            id="no-certificate",
        ),
        pytest.param(
            {"CONSUL_CACERT": "/nonexistent"},
            "environment CONSUL_CACERT: consul.ca_file /nonexistent cannot be read: "
            "No such file or directory",
            id="no-file",
        ),
        pytest.param(
            {"CONSULDNS_DNS_ALT_DOMAIN": "Consul."},
            "environment CONSULDNS_DNS_ALT_DOMAIN: dns.alt_domain is the same as dns.domain "
            "(remove it)",
            id="same-domains",
        ),
        pytest.param(
            {"CONSULDNS_LISTEN": "[::1]:53,[0::1]:53"},
            "environment CONSULDNS_LISTEN: listen contains an address twice (remove one)",
            id="twice",
        ),
        pytest.param(
            {"CONSULDNS_LISTEN": "127.0.0.1:9153"},
            "default: admin_addr is also in listen (choose another port)",
            id="admin",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named(environment: dict[str, str], message: str) -> None:
    assert refusal(environment) == message


def test_a_mistake_in_a_flag_is_named() -> None:
    message = "--listen: listen must end in a port from 1 to 65535, not '127.0.0.1:x'"
    assert refusal(flags={"listen": ("127.0.0.1:x",)}) == message


def test_the_token_of_the_higher_source_wins(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("from-file")
    file = written(tmp_path, f'consul.token_file = "{token_file}"')
    consul = load(file=file, environment={"CONSUL_HTTP_TOKEN": "t"}).settings.consul
    assert (consul.token, consul.token_file) == (Secret("t"), "")

    file = written(tmp_path, 'consul.token = "t"')
    environment = {"CONSULDNS_CONSUL_TOKEN_FILE": str(token_file)}
    consul = load(file=file, environment=environment).settings.consul
    assert (consul.token, consul.token_file) == (Secret(), str(token_file))


def test_of_consuls_own_two_variables_the_token_file_wins() -> None:
    environment = {"CONSUL_HTTP_TOKEN": "t", "CONSUL_HTTP_TOKEN_FILE": os.devnull}
    consul = load(environment=environment).settings.consul
    assert (consul.token, consul.token_file) == (Secret(), os.devnull)


def test_misspelt_variables_are_noticed_but_not_those_of_kubernetes() -> None:
    of_kubernetes = {
        "CONSULDNS_PORT": "tcp://10.0.0.1:53",
        "CONSULDNS_SERVICE_HOST": "10.0.0.1",
        "CONSULDNS_SERVICE_PORT": "53",
        "CONSULDNS_SERVICE_PORT_DNS_TCP": "53",
        "CONSULDNS_DNS_PORT_53_UDP_ADDR": "10.0.0.1",
        "CONSULDNS_PORT_53_TCP": "tcp://10.0.0.1:53",
    }
    wrong = {"CONSULDNS_DNS_DOMIAN": "a", "CONSULDNS_LISTENERS": "b", "CONSULDNS_QQQ": "c"}
    assert unknown_variables(of_kubernetes | wrong | {"CONSULDNS_WORKERS": "1"}) == [
        "environment CONSULDNS_DNS_DOMIAN is not a known setting "
        "(did you mean CONSULDNS_DNS_DOMAIN?)",
        "environment CONSULDNS_LISTENERS is not a known setting (did you mean CONSULDNS_LISTEN?)",
        "environment CONSULDNS_QQQ is not a known setting (see 'consuldns config reference')",
    ]


@given(
    st.dictionaries(
        st.sampled_from([setting.variable for setting in declared().values()]), st.text()
    )
)
@example({"CONSULDNS_CONSUL_TOKEN_FILE": "\0"})
def test_any_environment_is_read_or_refused(environment: dict[str, str]) -> None:
    message = ""
    try:
        load(environment=environment)
    except ConfigError as error:
        message = str(error)
    assert not message or message.startswith(("environment CONSULDNS_", "default: "))
