"""Fuzz each target for its share of the time, in a process of its own (`make fuzz`).

atheris is not among the packages of the tests, since it has no build for every Python: `make fuzz`
installs it. It watches code that is imported after it, so imports are within functions here.
"""

import argparse
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

CORPUS = Path(".cache/fuzz")


def fuzz(target: str, folder: Path, seconds: int) -> None:
    """Run atheris in this process, which it ends."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with atheris.instrument_imports(include=["consuldns"]):
        from tests.fuzz.targets import TARGETS
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
    artifacts = [f"-artifact_prefix={folder}/found-", "-print_final_stats=1"]
    atheris.Setup([target, *options, *artifacts, str(folder)], TARGETS[target])
    atheris.Fuzz()


def watch(target: str, folder: Path, seconds: int) -> bool:
    """Fuzz a target and print what came of it; whether it held."""
    from tests.fuzz.seeds import seeds

    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (folder / sha256(seed).hexdigest()[:16]).write_bytes(seed)
    began = time.monotonic()
    own = ["-m", "tests.fuzz", target, "--alone", f"--minutes={seconds / 60}"]
    command = [sys.executable, *own]
    run = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    executions = run.stderr.rpartition("stat::number_of_executed_units:")[2].split("\n")[0]
    verdict = "nothing found" if run.returncode == 0 else f"FOUND, see {folder}/found-*"
    taken = time.monotonic() - began
    print(
        f"{target}: {executions.strip() or '?'} executions in {taken:.0f} s, {verdict}", flush=True
    )
    if run.returncode:
        print(run.stderr[-4000:], run.stdout[-2000:])
    return run.returncode == 0


def main() -> int:
    """Fuzz; the exit status is 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        fuzz(given.targets[0], CORPUS / given.targets[0], round(given.minutes * 60))
    from tests.fuzz.targets import TARGETS

    names = given.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    seconds = round(given.minutes * 60 / len(names))
    return 0 if all([watch(each, CORPUS / each, seconds) for each in names]) else 1


if __name__ == "__main__":
    sys.exit(main())
