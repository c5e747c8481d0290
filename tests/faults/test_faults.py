"""No query is lost or answered wrongly, whatever happens to Consul, the network or a worker."""

from collections.abc import Iterator

import pytest

from tests.faults.scenarios import SCENARIOS, Setting, run, setting

SECONDS = 1.5


@pytest.fixture(scope="module")
def shared() -> Iterator[Setting]:
    with setting() as found:
        yield found


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(shared: Setting, name: str) -> None:
    report, _ = run(shared, SCENARIOS[name], SECONDS)
    assert report.sent > 200
    assert report.wrong == []
    assert not report.failed
    # What a worker that is killed has taken from the socket is lost with it.
    assert report.lost.total() <= (2 if name == "workers-are-killed" else 0)
