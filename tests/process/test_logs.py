"""Whatever stderr is, a process that logs goes on, and says what it could not write."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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
    assert lines[-2] == f"{5003 - seen} log lines were lost here: stderr was not writable"


def test_lines_are_lines(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as log:
        ends_well(flood(log.fileno()))
    lines = file.read_text().splitlines()
    assert len(lines) == 5004
    assert lines[5000] == "INFO root 'bad %d' ('arguments',)"
    assert lines[5001].endswith("lone \\ud800")
    assert lines[5002].endswith("two\\nlines")


LEVELS = """
import logging, sys
from consuldns import logs
logs.configure(sys.argv[1])
for name in ("consuldns.part", "library"):
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger(name), level)(level)
try:
    raise ValueError("quoted \\x1b[31m\\n<0>2026-01-01 forged\\u2028forged")
except ValueError:
    logging.getLogger("consuldns.part").exception("a \\x1b\\u2028 line")
"""


def logged(level: str, environment: dict[str, str] | None = None) -> list[str]:
    process = subprocess.run(
        [sys.executable, "-c", LEVELS, level],
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
        env=os.environ | (environment or {}),
        check=True,
    )
    return process.stderr.decode().splitlines()


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d "


@pytest.mark.parametrize(
    ("level", "ours", "others"),
    [
        ("debug", 4, 3),
        ("info", 3, 3),
        ("warning", 2, 2),
        ("error", 1, 1),
    ],
)
def test_level_is_ours_and_libraries_never_debug(level: str, ours: int, others: int) -> None:
    lines = [line.split(" ") for line in logged(level)]
    words = ["debug", "info", "warning", "error"]
    assert [line[3] for line in lines if line[2:3] == ["consuldns.part"]][:-1] == words[-ours:]
    assert [line[3] for line in lines if line[2:3] == ["library"]] == words[-others:]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_times_are_those_of_rfc_3339(zone: str) -> None:
    lines = logged("info", {"TZ": zone})
    assert all(re.match(TIME, line) for line in lines if not line.startswith("    "))
    offsets = {"UTC": ("+00:00",), "Asia/Kathmandu": ("+05:45",)}
    assert lines[0][23:29] in offsets.get(zone, ("-03:30", "-02:30"))


def test_nobody_writes_a_line_of_his_own() -> None:
    lines = logged("error")
    first = next(n for n, line in enumerate(lines) if "u2028 line" in line)
    assert lines[first].endswith("a \\x1b\\u2028 line")
    assert lines[first + 1] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in lines[first + 1 :])


def journal(level: str, stream: Callable[[int], str]) -> list[str]:
    reading, writing = os.pipe()
    subprocess.run(
        [sys.executable, "-c", LEVELS, level],
        stderr=writing,
        cwd=REPOSITORY,
        env=os.environ | {"JOURNAL_STREAM": stream(writing)},
        check=True,
    )
    os.close(writing)
    with os.fdopen(reading) as log:
        return log.read().splitlines()


def test_the_journal_gets_priorities_on_each_line() -> None:
    lines = journal("info", lambda fd: f"{os.fstat(fd).st_dev}:{os.fstat(fd).st_ino}")
    assert lines[:3] == [
        "<6>consuldns.part info",
        "<4>consuldns.part warning",
        "<3>consuldns.part error",
    ]
    assert all(re.match(r"<[346]>", line) for line in lines)


@pytest.mark.parametrize("stream", ["8:1234", "", "nonsense"])
def test_a_variable_that_was_inherited_makes_no_journal(stream: str) -> None:
    assert re.match(TIME, journal("info", lambda _: stream)[0])
