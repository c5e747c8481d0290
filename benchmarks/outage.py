"""Consul goes away and comes back: answers meanwhile, and how soon they are fresh after that.

Time runs from the moment that Consul itself is ready (has a leader, lists its own service) and
has taken the change, to the first answer that shows the change.

    python -m benchmarks.outage [--rounds N]
"""

import argparse
import time

from tests.end_to_end.conftest import register
from tests.support.ask import answers, ask, extended_errors, rcode
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve

NAME = "kept.service.consul"


def seconds_until(port: int, address: str) -> float:
    """Seconds until the answer is the address."""
    started = time.monotonic()
    wait_until(lambda: answers(ask(port, NAME)) == {address}, f"{NAME} is {address}")
    return time.monotonic() - started


def outage(*, persistent: bool, rounds: int) -> None:
    """Kill and restart Consul, with its state kept or lost."""
    label = "state kept" if persistent else "state lost"
    with ConsulAgent(persistent=persistent) as consul, Serve(consul.url, workers=1) as serve:
        register(consul, "kept", "10.0.0.0")
        seconds_until(serve.port, "10.0.0.0")
        for number in range(1, rounds + 1):
            consul.kill()
            wrong = 0
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                reply = ask(serve.port, NAME)
                wrong += answers(reply) != {f"10.0.0.{number - 1}"}
            marked = extended_errors(reply) == [3]
            consul.start()
            register(consul, "kept", f"10.0.0.{number}")
            fresh = seconds_until(serve.port, f"10.0.0.{number}")
            print(
                f"{label}: wrong answers while Consul was away: {wrong}, marked stale: {marked}; "
                f"fresh {fresh:.2f} s after Consul took the change (wanted: 2 s)"
            )


def started_before(rounds: int) -> None:
    """Start first, then Consul."""
    for _ in range(rounds):
        consul = ConsulAgent()
        with Serve(consul.url, workers=1, wait_ready=False) as serve:
            deadline = time.monotonic() + 2
            codes = set()
            while time.monotonic() < deadline:
                codes.add(rcode(ask(serve.port, NAME)))
            with consul:
                register(consul, "kept", "10.0.0.1")
                fresh = seconds_until(serve.port, "10.0.0.1")
                print(
                    f"started before Consul: {sorted(codes)} until then; "
                    f"right {fresh:.2f} s after Consul was ready (wanted: 2 s)"
                )


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    outage(persistent=False, rounds=given.rounds)
    outage(persistent=True, rounds=given.rounds)
    started_before(given.rounds)


if __name__ == "__main__":
    main()
