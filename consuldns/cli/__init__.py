"""The command line.

Every command is a module of its own, with the command as `command`, and is imported when it is
called: `consuldns --help` and shell completion must not wait for HTTP clients and servers. To add
one, write the module and name it in COMMANDS.

Exit status: 0 done, 1 failed, 2 the command line makes no sense, 3 the server could not start,
4 a setting cannot be used; `query` has its own beside them.
"""

import importlib
import os
import signal
from typing import Any

import click

from consuldns import __version__
from consuldns.errors import ConsuldnsError, exit_status

COMMANDS = {
    "dev": "Try it: a Consul agent of its own, sample services, DNS.",
    "serve": "Answer DNS for a Consul that runs already.",
    "sync": "Put the services of a Kubernetes cluster into Consul.",
    "query": "Ask a DNS server, and show the reply as dig does.",
    "config": "Check, show and explain settings.",
    "completion": "Print the script that completes commands in a shell.",
}
HIDDEN = frozenset({"worker"})  # what the program starts by itself


def open_standard_streams() -> None:
    """Put /dev/null where standard input, output or error is closed.

    Else the next socket that is opened has that number, and gets what is written to stderr.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def hold_signals() -> None:
    """Let SIGHUP and SIGUSR1 wait until a server can handle them: they would kill it until then."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGUSR1))


class Commands(click.Group):
    """The commands, each imported when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names in the order of the help text: what a newcomer needs comes first."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in COMMANDS and name not in HIDDEN:
            return None
        command = importlib.import_module(f"consuldns.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, context: click.Context) -> Any:
        """Run the command; what goes wrong ends in one line, never in a traceback."""
        open_standard_streams()
        try:
            return super().invoke(context)
        except ConsuldnsError as error:
            click.echo(f"Error: {error}", err=True)
            context.exit(exit_status(error))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with 'consuldns dev', then: dig @127.0.0.1 -p 8600 kube-ui.service.consul",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """DNS in front of HashiCorp Consul.

    'consuldns COMMAND --help' says more about a command.
    """
