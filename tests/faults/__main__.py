"""Run scenarios for as long as is wanted, and print what the canary says: `make faults`."""

import argparse

from tests.faults.scenarios import SCENARIOS, run, setting


def main() -> None:
    """One line for each scenario; exit code 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    given = parser.parse_args()
    wrong = 0
    with setting() as found:
        for name in given.names or SCENARIOS:
            report, fresh = run(found, SCENARIOS[name], given.seconds)
            wrong += len(report.wrong)
            print(f"{name}: {report}; a change was seen {fresh:.2f} s after", flush=True)
            if report.lost:
                print(f"    lost: {dict(report.lost)}", flush=True)
            for each in report.wrong[:5]:
                print(f"    {each}", flush=True)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
