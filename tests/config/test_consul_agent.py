"""The configuration of a Consul agent: what is taken, what is different, what is missing."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from consuldns.cli import main
from consuldns.config.consul_agent import convert, read_consul_files
from consuldns.config.consul_keys import TAKEN, TAKEN_FROM_TOP, explanation
from consuldns.config.load import load
from consuldns.config.schema import declared
from consuldns.errors import ConfigError

HCL = """
# An agent as people write it.
datacenter = "dc1"
domain     = "example."
recursors  = ["10.0.0.2", "10.0.0.3:5353"]
ports { dns = 53, http = 8501 }
addresses { dns = "127.0.0.1 ::1" }
dns_config {
  node_ttl         = "5s"
  use_cache        = true
  udp_answer_limit = 3
  service_ttl {
    "*" = "10s"
    web = "30s"
  }
  soa { min_ttl = 60 }
}
acl { tokens { agent = "secret-1" dns = "secret-2" } }
retry_join = ["10.0.0.1"]
"""
EXPECTED = {
    "listen": ["127.0.0.1:53", "[::1]:53"],
    "dns": {
        "domain": "example",
        "recursors": ["10.0.0.2:53", "10.0.0.3:5353"],
        "node_ttl": "5s",
        "udp_answer_limit": 3,
        "service_ttl": {"*": "10s", "web": "30s"},
        "soa": {"min_ttl": 60},
    },
}


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["config", *arguments], standalone_mode=True)
    return result.exit_code, result.stdout, result.stderr


def test_a_file_in_hcl(tmp_path: Path) -> None:
    file = tmp_path / "consul.hcl"
    file.write_text(HCL)
    status, out, err = run("import", str(file))
    assert status == 0, err
    assert tomllib.loads(out) == EXPECTED
    assert "secret" not in out + err
    assert "taken: dns_config.node_ttl -> dns.node_ttl" in err
    assert "different here: acl.tokens.dns is 'consul.token_file' here" in err
    assert "no counterpart: dns_config.use_cache has no counterpart: consuldns follows" in err
    assert "not about DNS: 2 other settings" in err
    written = tmp_path / "consuldns.toml"
    written.write_text(out)
    assert run("check", str(written))[0] == 0


def test_folders_are_merged_as_consul_merges_them(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"dns_config": {"node_ttl": "1s", "only_passing": true}, "recursors": ["10.0.0.1"]}'
    )
    (tmp_path / "b.hcl").write_text('dns_config { node_ttl = "2s" }\nrecursors = ["10.0.0.2"]\n')
    (tmp_path / "notes.txt").write_text("not a configuration")
    found = convert(read_consul_files([tmp_path])).settings
    assert found == {
        "dns.node_ttl": "2s",
        "dns.only_passing": True,
        "dns.recursors": ["10.0.0.1", "10.0.0.2"],
    }


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.json", "{", "is not valid JSON"),
        ("a.hcl", "a = = 3", "is not valid HCL"),
        ("a.json", "[]", "is not an object"),
        ("missing.json", None, "cannot be read"),
        ("a.json", '{"dns_config": {"node_ttl": "soon"}}', "must be a duration"),
    ],
)
def test_what_cannot_be_read(name: str, text: str | None, problem: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        convert(read_consul_files([file]))


def test_everything_that_is_taken_is_a_setting_of_ours() -> None:
    for key in (*TAKEN, *TAKEN_FROM_TOP):
        assert f"dns.{key}" in declared()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dns]\nuse_cache = true", "unknown setting dns.use_cache: Consul's setting has no"),
        ("[dns]\ncache_max_age = '1s'", "consuldns config import FILE"),
        ("[dns_config]\nnode_ttl = '5s'", "dns_config: Consul's setting is [dns] here"),
        ("recursors = ['10.0.0.2']", "did you mean dns.recursors?"),
        ("[ports]\ndns = 53", "is the port in 'listen', and in"),
        ("client_addr = '0.0.0.0'", "is the address in 'listen' here"),
    ],
)
def test_a_key_of_consuls_in_our_file_is_explained(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "consuldns.toml"
    file.write_text(text + "\n")
    with pytest.raises(ConfigError) as error:
        load(file=file, environment={})
    assert said in str(error.value)


def test_only_keys_of_consul_are_explained() -> None:
    assert explanation("dns.domian") is None
    assert explanation("listen") is None
