"""What is said of troubles: each cause once, again while it lasts, and when it is over."""

import asyncio
import logging

import pytest

from consuldns.errors import ConfigError, ConsuldnsError
from consuldns.sync.kubernetes import errors, troubles
from consuldns.sync.kubernetes.troubles import Troubles

KINDS = ("services", "endpointslices", "nodes", "namespaces")


class Said:
    """Troubles, and what they have said so far."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "consuldns.sync.kubernetes.troubles")
        self.troubles = Troubles(settle=0.01)
        self._caplog = caplog

    async def until(self, count: int) -> list[str]:
        """The lines, as soon as there are so many."""
        async with asyncio.timeout(5):
            while len(self._caplog.messages) < count:
                await asyncio.sleep(0.005)
        return self._caplog.messages


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    return Said(caplog)


@pytest.mark.parametrize(
    "error",
    [
        errors.Unreachable("refused"),
        errors.Unauthorized("401"),
        errors.WrongCluster("another cluster"),
        errors.Throttled("429"),
        ConfigError("the token cannot be read"),
    ],
)
async def test_what_comes_to_all_kinds_is_one_line(said: Said, error: ConsuldnsError) -> None:
    for number, kind in enumerate(KINDS):
        said.troubles.failed(kind, type(error)(f"{error} {number}"))
    (line,) = await said.until(1)
    assert line.startswith("cannot watch endpointslices, namespaces, nodes, services, keeping")
    for kind in KINDS:
        said.troubles.failed(kind, error)
    said.troubles.recovered("nodes")
    said.troubles.say()
    assert len(await said.until(1)) == 1  # some still are without
    for kind in KINDS:
        said.troubles.recovered(kind)
    last = (await said.until(2))[-1]
    assert last.startswith("watching endpointslices, namespaces, nodes, services again")


async def test_missing_rights_are_one_line_that_says_what_follows(said: Said) -> None:
    said.troubles.failed("nodes", errors.Forbidden("nodes is forbidden"))
    said.troubles.failed("services in shop", errors.Forbidden("services is forbidden"))
    (line,) = await said.until(1)
    assert line.startswith("cannot list nodes, services in shop, going on without")
    assert "without nodes, NodePort services are not synced" in line
    said.troubles.failed("namespaces", errors.Forbidden("namespaces is forbidden"))
    assert (await said.until(2))[1].startswith("cannot list namespaces, going on")


async def test_another_trouble_is_no_recovery(said: Said) -> None:
    said.troubles.failed("nodes", errors.Unreachable("refused"))
    await said.until(1)
    said.troubles.failed("nodes", errors.Unauthorized("401"))
    lines = await said.until(2)
    assert not [line for line in lines if "again" in line]


async def test_a_moment_is_not_worth_a_word(said: Said) -> None:
    said.troubles.failed("nodes", errors.Unreachable("cut"))
    said.troubles.recovered("nodes")
    said.troubles.failed("services", errors.Unreachable("refused"))
    assert "cannot watch services," in (await said.until(1))[0]


async def test_what_lasts_is_said_again_ever_more_seldom(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(troubles, "REMINDERS", (0.05, 0.1))
    said.troubles.failed("nodes", errors.Unreachable("refused"))
    said.troubles.failed("services", errors.Forbidden("services is forbidden"))
    lines = await said.until(6)
    assert "cannot watch nodes for 0 s, keeping the last known state: refused" in lines
    assert sum(line.startswith("cannot list services") for line in lines) >= 3
    assert said.troubles._said["Unreachable"].pause == 0.1
    said.troubles.recovered("nodes")
    said.troubles.recovered("services")
    before = len(await said.until(6))
    said.troubles.say()
    assert sorted((await said.until(before + 2))[before:]) == [
        "watching nodes again, after 0 s",
        "watching services again, after 0 s",
    ]
