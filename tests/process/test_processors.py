"""The number of workers that a container may run at the same time."""

import os
from pathlib import Path

import pytest

from consuldns.process.processors import usable

ALL = len(os.sched_getaffinity(0))


def group(root: Path, path: str, **files: str) -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content + "\n")


def own(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "own"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("150000 100000", min(2, ALL)),
        ("max 100000", ALL),
        ("100000 0", ALL),
        ("nonsense", ALL),
    ],
)
def test_version_2(tmp_path: Path, quota: str, count: int) -> None:
    group(tmp_path, "a/b", cpu__max=quota)
    assert usable(tmp_path, own(tmp_path, "0::/a/b")) == count


def test_a_group_around_ours_counts(tmp_path: Path) -> None:
    group(tmp_path, "a", cpu__max="100000 100000")
    group(tmp_path, "a/b", cpu__max="max 100000")
    assert usable(tmp_path, own(tmp_path, "0::/a/b")) == 1


@pytest.mark.parametrize(("quota", "count"), [("50000", 1), ("-1", ALL)])
def test_version_1(tmp_path: Path, quota: str, count: int) -> None:
    files = {"cpu__cfs_quota_us": quota, "cpu__cfs_period_us": "100000"}
    group(tmp_path, "cpu/a", **files)
    lines = ("4:memory:/a", "3:cpu,cpuacct:/a", "0::/")
    assert usable(tmp_path, own(tmp_path, *lines)) == count


def test_without_cgroups(tmp_path: Path) -> None:
    assert usable(tmp_path, tmp_path / "nothing") == ALL
