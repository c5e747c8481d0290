"""`consuldns worker`: the processes that `consuldns serve` starts for itself. Not for people.

A command, so that the same program is all that a standalone binary needs.
"""

import socket
import sys

import click


@click.command(hidden=True)
@click.argument("kind", type=click.Choice(["dns", "sync"]))
@click.option("--link", "descriptor", required=True, type=int, help="The descriptor of the link.")
def command(kind: str, descriptor: int) -> None:
    """Work for 'consuldns serve', which starts this process."""
    link_end = socket.socket(fileno=descriptor)
    # A worker for DNS does without Kubernetes, and the other way round: memory, and time to start.
    if kind == "dns":
        from consuldns.process import worker

        worker.run(link_end)
    else:
        from consuldns.process import sync_child

        sys.exit(sync_child.run(link_end))
