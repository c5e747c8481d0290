"""The command line.

Every command is a module that defines it as `command`, and is imported when it is called, so that
`consuldns --help` and shell completion do not load HTTP clients and servers. To add a command,
write the module and list it in COMMANDS.

Exit status: 0 success, 1 failure, 2 usage error, 3 the server could not start, 4 a setting is not
valid; `query` and `sync` have additional ones.
"""

import importlib
import os
import signal
from typing import Any

import click

from consuldns import __version__
from consuldns.errors import ConfigErrors, ConsuldnsError, exit_status

COMMANDS = {
    "dev": "Try consuldns: an embedded Consul agent with sample services, and DNS.",
    "serve": "Serve DNS for an existing Consul.",
    "sync": "Sync the services of a Kubernetes cluster to Consul.",
    "zone": "List, check, import and compare zones in Consul's KV tree.",
    "query": "Query a DNS server, and print the reply as dig does.",
    "config": "Check, show and document settings.",
    "completion": "Print the shell completion script.",
}
HIDDEN = frozenset({"worker"})  # what the program starts by itself


def open_standard_streams() -> None:
    """Open /dev/null in place of standard input, output or error if it is closed.

    Otherwise the next socket would get that number, and receive what is written to stderr.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def hold_signals() -> None:
    """Block these until a server can handle them: by default they end a process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2))


class Commands(click.Group):
    """The commands, each imported when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names in the order of the help text: those for newcomers come first."""
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
        """Run the command; an error is printed as one line, each of several settings on its own."""
        open_standard_streams()
        try:
            return super().invoke(context)
        except ConsuldnsError as error:
            for line in error.lines if isinstance(error, ConfigErrors) else [error]:
                click.echo(f"Error: {line}", err=True)
            context.exit(exit_status(error))


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with 'consuldns dev', then: dig @127.0.0.1 -p 8600 kube-ui.service.consul",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """A DNS server in front of HashiCorp Consul.

    Run 'consuldns COMMAND --help' for details of a command.
    """
