"""The command line. Every command is a module of its own and is imported when it is called."""

import click


@click.group()
def main() -> None:
    """DNS in front of HashiCorp Consul."""
