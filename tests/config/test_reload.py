"""What of the settings takes effect at once when they are read again."""

import pytest
from msgspec.structs import replace

from consuldns.config.load import at_next_start, load, reloaded
from consuldns.config.schema import Settings


def settings(**flags: str) -> Settings:
    return load(environment={}, flags={k.replace("__", "."): v for k, v in flags.items()}).settings


@pytest.mark.parametrize(
    ("read", "deferred"),
    [
        (settings(), []),
        (settings(dns__domain="example"), []),
        (settings(workers="3"), ["workers"]),
        (settings(log_level="debug", query_log="all"), []),
        (settings(workers="3", consul__token="x", dns__only_passing="true"),
         ["workers", "consul.token"]),
    ],
)  # fmt: skip
def test_dns_and_the_log_take_effect_at_once(read: Settings, deferred: list[str]) -> None:
    running = settings()
    assert at_next_start(running, read) == deferred
    log = {"log_level": read.log_level, "query_log": read.query_log}
    assert reloaded(running, read) == replace(running, dns=read.dns, **log)
