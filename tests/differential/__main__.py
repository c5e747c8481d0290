"""`python -m tests.differential`: Consul and this server, side by side."""

import sys

import click

from tests.differential.remote import run_remote
from tests.differential.report import reproducers, summary
from tests.differential.run import run


@click.command()
@click.option("--seed", default=1, show_default=True, help="The first seed.")
@click.option("--seeds", default=1, show_default=True, help="How many seeds, one after the other.")
@click.option("--queries", default=2500, show_default=True, help="Questions for each seed.")
@click.option(
    "--rounds", default=1, show_default=True, help="The catalog is changed between two rounds."
)
@click.option("--remote", is_flag=True, help="The catalog is in another datacenter.")
@click.option("--show", default=10, show_default=True, help="How many failures to show.")
def main(seed: int, seeds: int, queries: int, rounds: int, show: int, *, remote: bool) -> None:
    """Ask a real Consul and consuldns the same questions; exit 1 on an unnamed difference."""
    outcomes = []
    for number in range(seed, seed + seeds):
        outcomes.append(run_remote(number, queries) if remote else run(number, queries, rounds))
        click.echo(f"seed {number}: {len(outcomes[-1].unexplained)} unexplained", err=True)
    click.echo(summary(outcomes))
    if any(outcome.unexplained for outcome in outcomes):
        click.echo(reproducers(outcomes, show))
        sys.exit(1)


if __name__ == "__main__":
    main()
