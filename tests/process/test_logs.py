"""Whatever stderr is, a process that logs goes on, and says what it could not write."""

import contextlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consuldns import logs
from tests.support.consul_agent import REPOSITORY

FLOOD = """
import logging, os, sys
from consuldns import logs
logs.configure()
for number in range(5000):
    logging.info("line %d", number)
logging.info("bad %d", "arguments")
logging.info("lone \\ud800")
logging.info("two\\nlines")
os.write(1, b"done")
sys.stdin.read()
logging.info("the end")
"""


def flood(stderr: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", FLOOD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=REPOSITORY,
    )


def ends_well(process: "subprocess.Popen[bytes]") -> None:
    output, _ = process.communicate(timeout=30)
    assert (output, process.returncode) == (b"done", 0)


def test_a_reader_that_is_gone() -> None:
    reading, writing = os.pipe()
    process = flood(writing)
    os.close(writing)
    os.close(reading)
    ends_well(process)


def test_a_full_disk() -> None:
    with Path("/dev/full").open("wb") as full:
        ends_well(flood(full.fileno()))


def test_a_closed_stderr() -> None:
    """Nothing of the log goes into what gets its number."""
    code = (
        "import os, subprocess, sys\n"
        "os.close(2)\n"
        f"os.execv(sys.executable, [sys.executable, '-c', {FLOOD!r}])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    ends_well(process)


def test_a_reader_that_is_stuck_and_reads_on() -> None:
    reading, writing = os.pipe()
    process = flood(writing)
    os.close(writing)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.read(4) == b"done", "it did not wait for the reader"
    os.set_blocking(reading, False)
    log = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            log += os.read(reading, 1 << 16)
    process.stdin.close()
    os.set_blocking(reading, True)
    with os.fdopen(reading, "rb") as rest:
        log += rest.read()
    assert process.wait(30) == 0
    process.stdout.close()
    lines = log.decode().splitlines()
    seen = sum("root line " in line for line in lines)
    assert 0 < seen < 5000
    assert lines[-1].endswith("root the end")
    assert lines[-2] == f"{5003 - seen} log lines were lost here: stderr did not take them"


def test_lines_are_lines(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as log:
        ends_well(flood(log.fileno()))
    lines = file.read_text().splitlines()
    assert len(lines) == 5004
    assert lines[5000] == "INFO root 'bad %d' ('arguments',)"
    assert lines[5001].endswith("lone \\ud800")
    assert lines[5002].endswith("two\\nlines")


def test_what_goes_on_is_a_line_and_reminders(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    said = logs.RepeatedLog(logging.getLogger("test"), lambda: now)
    assert said.warning("it fails", "trying again")
    for now in range(1, 130):  # noqa: B007 - the clock
        assert not said.warning("it fails", "trying again")
    assert said.warning("it fails otherwise", "trying again")
    said.forget()
    assert said.warning("it fails otherwise", "trying again")
    assert [record.message for record in caplog.records] == [
        "it fails; trying again",
        "it fails; trying again (59 lines like the last were left out)",
        "it fails; trying again (59 lines like the last were left out)",
        "it fails otherwise; trying again (9 lines like the last were left out)",
        "it fails otherwise; trying again",
    ]
