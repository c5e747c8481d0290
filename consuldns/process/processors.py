"""How many processors this process may use: its affinity, and the CPU quota of its cgroup."""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def usable(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """The number of workers that can run at the same time, at least 1.

    A container that may use half a processor gets one worker, one that may use 2.5 gets three.
    """
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas(cgroups, own)]
    return max(1, min(allowed, *quotas)) if quotas else allowed


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """In processors: of the process's own group and of those around it; the lowest counts."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / ("cpu" if controllers else "")
        group = root / path.lstrip("/")
        for each in (group, *group.parents):
            quota = _version_1(each) if controllers else _version_2(each)
            if quota is not None:
                yield quota
            if each == root:
                break


def _version_2(group: Path) -> float | None:
    """`cpu.max` holds "<quota> <period>" in microseconds, or "max <period>"."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _version_1(group: Path) -> float | None:
    """A quota of -1 is none."""
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
