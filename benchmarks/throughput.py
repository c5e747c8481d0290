"""Queries a second against Consul's own DNS and against `consuldns serve`, in one run.

Both answer the same questions (A and SRV of services with three instances) from the same catalog;
dnsperf asks them in turn, several rounds, and the ratio is that of each round's pair. Absolute
figures depend on the machine and its neighbours; the ratio is what counts.

    python -m benchmarks.throughput [--rounds N] [--seconds N] [--services N]
"""

import argparse
import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from tests.support.ask import ask, rcode
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve


def fill(consul: ConsulAgent, services: int) -> list[str]:
    """Register the services; the lines of a query file for dnsperf."""
    lines = []
    for number in range(services):
        for instance in range(3):
            consul.put(
                "/v1/catalog/register",
                {
                    "Node": f"node-{instance}",
                    "Address": f"10.0.0.{instance + 1}",
                    "Service": {
                        "ID": f"bench-{number}-{instance}",
                        "Service": f"bench-{number}",
                        "Address": f"10.1.{number % 256}.{instance + 1}",
                        "Port": 8000 + instance,
                    },
                },
            )
        lines += [f"bench-{number}.service.consul {type_}" for type_ in ("A", "SRV")]
    return lines


def measure(port: int, queries: Path, seconds: float) -> tuple[float, float]:
    """Queries a second, and the share of lost ones."""
    where = ["-s", "127.0.0.1", "-p", str(port), "-d", str(queries)]
    how = ["-l", str(seconds), "-c", "8", "-q", "200", "-e"]  # 8 clients, 200 in flight, EDNS
    output = subprocess.run(
        ["dnsperf", *where, *how],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rate = re.search(r"Queries per second:\s+([\d.]+)", output)
    lost = re.search(r"Queries lost:\s+\d+ \(([\d.]+)%\)", output)
    codes = re.search(r"Response codes:\s+(.*)", output)
    if rate is None or lost is None or codes is None or "NOERROR" not in codes[1]:
        raise SystemExit(f"dnsperf says:\n{output}")
    return float(rate[1]), float(lost[1])


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--services", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ConsulAgent() as consul:
        queries = Path(folder) / "queries"
        lines = fill(consul, given.services)
        queries.write_text("\n".join(lines) + "\n")
        with Serve(consul.url, workers=1) as serve:
            for line in lines:
                name, type_ = line.split()
                wait_until(lambda n=name, t=type_: rcode(ask(serve.port, n, t)) == "NOERROR", line)  # type: ignore[misc]
            ratios = []
            print(f"{'round':>5} {'Consul q/s':>12} {'consuldns q/s':>14} {'ratio':>6}  lost")
            for number in range(given.rounds):
                theirs, their_loss = measure(consul.dns_port, queries, given.seconds)
                ours, our_loss = measure(serve.port, queries, given.seconds)
                ratios.append(ours / theirs)
                print(
                    f"{number + 1:>5} {theirs:>12.0f} {ours:>14.0f} {ratios[-1]:>6.2f}"
                    f"  {their_loss:.2f}% / {our_loss:.2f}%"
                )
            print(f"median ratio: {statistics.median(ratios):.2f} (one worker)")


if __name__ == "__main__":
    main()
