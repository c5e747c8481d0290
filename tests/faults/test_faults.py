"""No query is lost or answered wrongly, whatever happens to Consul, the network or a worker."""

from collections.abc import Iterator

import pytest

from tests.faults.scenarios import SCENARIOS, Setting, run, setting

SECONDS = 1.0
LONG_SECONDS = 3.0  # a connection that has become silent is noticed by then
LONG = ("silent", "delayed", "trickling", "consul-is-stopped")


@pytest.fixture(scope="module")
def shared() -> Iterator[Setting]:
    with setting() as found:
        yield found


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(shared: Setting, name: str) -> None:
    report, _ = run(shared, SCENARIOS[name], LONG_SECONDS if name in LONG else SECONDS)
    assert report.sent > 150
    assert report.wrong == []
    assert not report.failed
    # What a worker that is killed has taken from the socket is lost with it.
    assert report.lost.total() <= (2 if name == "workers-are-killed" else 0)
