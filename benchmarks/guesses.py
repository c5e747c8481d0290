"""Random names below a template of a prepared query, as many a second as are wanted (ADR 22).

    python -m benchmarks.guesses [--rate N] [--seconds N]

Prints how many executions Consul saw a second, and how the queries that exist were answered
meanwhile, asked a hundred times a second.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.ask import answers, ask
from tests.support.consul_agent import ConsulAgent, wait_until
from tests.support.consuldns_process import Serve
from tests.support.later_consul import LaterConsul

LISTED = "good.query.consul"
BELOW_TEMPLATE = "geo-web.query.consul"


def main() -> None:
    """Flood, ask, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=10)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        ConsulAgent() as consul,
        LaterConsul.over(consul.url) as counted,
    ):
        prepare(consul)
        names = Path(folder) / "names"
        count = given.rate * given.seconds
        names.write_text("".join(f"geo-x{number}.query.consul A\n" for number in range(count)))
        with Serve(counted.url) as serve:
            for name in (LISTED, BELOW_TEMPLATE):
                wait_until(lambda n=name: bool(answers(ask(serve.port, n, "A"))), name)  # type: ignore[misc]
            before = executions(counted)
            where = ["-s", "127.0.0.1", "-p", str(serve.port), "-d", str(names)]
            how = ["-Q", str(given.rate), "-l", str(given.seconds), "-q", "5000", "-t", "8"]
            with subprocess.Popen(["dnsperf", *where, *how], stdout=subprocess.PIPE) as flood:
                asked = answered = 0
                while flood.poll() is None:
                    for name in (LISTED, BELOW_TEMPLATE):
                        asked += 1
                        answered += bool(answers(ask(serve.port, name, "A")))
                    time.sleep(0.02)
                output = flood.stdout.read().decode() if flood.stdout else ""
            print(output)
            spent = executions(counted) - before
            print(f"executions a second: {spent / given.seconds:.1f}")
            print(f"queries that exist: {answered} of {asked} answered")


def prepare(consul: ConsulAgent) -> None:
    """A service, a query, and a template."""
    service = {"Service": "web", "Port": 80}
    consul.put("/v1/catalog/register", {"Node": "n1", "Address": "10.0.0.1", "Service": service})
    for body in (
        {"Name": "good", "Service": {"Service": "web"}},
        {
            "Name": "geo-",
            "Template": {"Type": "name_prefix_match", "Regexp": "^geo-(.*)$"},
            "Service": {"Service": "${match(1)}"},
        },
    ):
        consul.client.post("/v1/query", json=body).raise_for_status()


def executions(counted: LaterConsul) -> int:
    """How many there were, but for those of the two queries that exist."""
    return sum(
        path.endswith("/execute") and path.split("/")[3] not in ("good", "geo-web")
        for path, _ in counted.asked
    )


if __name__ == "__main__":
    main()
