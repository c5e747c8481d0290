"""`consuldns zone`: the zones that people keep in Consul's KV tree."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consuldns.cli.options import config_option, configuration, setting_option
from consuldns.cli.query import EXIT_NO_REPLY, SERVER, address_of_server
from consuldns.config.schema import Settings

if TYPE_CHECKING:
    from consuldns.names import Labels
    from consuldns.views.zone_records import ZoneName


@click.group()
def command() -> None:
    """List, check, import and compare zones in Consul's KV tree.

    A key consuldns/zones/<zone>/<name> has the records of a name, as TOML or JSON.
    """


consul_option = setting_option("consul.address", "URL")


def _settings(file: Path | None, consul_addr: str | None) -> Settings:
    return configuration(file, {"consul.address": consul_addr}).settings


@command.command("list")
@click.argument("zone", required=False)
@consul_option
@config_option
def list_(zone: str | None, file: Path | None, consul_addr: str | None) -> None:
    """List the zones with the numbers of their names, or the records of one as a zone file.

    Example: consuldns zone list example.internal
    """
    from consuldns.consul import zones as stored_zones
    from consuldns.zone_documents import layout, zone_file

    zones = [zone] if zone else []
    for each in asyncio.run(stored_zones.stored(_settings(file, consul_addr), zones)):
        if zone:
            for line in zone_file.lines(each.names, layout.zone_of(each.folder)):
                click.echo(line)
        else:
            click.echo(f"{each.folder}\t{len(each.names)}")
        for problem in each.problems:
            click.echo(f"not served: {problem}", err=True)


@command.command()
@click.argument("zones", metavar="[ZONE]...", nargs=-1)
@consul_option
@config_option
def check(zones: tuple[str, ...], file: Path | None, consul_addr: str | None) -> None:
    """Check the records of these zones, or of all.

    Prints each key that cannot be served, with the line of the mistake.

    Exit status 0: everything can be served; 1: something cannot.

    Example: consuldns zone check
    """
    from consuldns.consul import zones as stored_zones

    found = asyncio.run(stored_zones.stored(_settings(file, consul_addr), zones))
    problems = [problem for each in found for problem in each.problems]
    for problem in problems:
        click.echo(problem)
    names = sum(len(each.names) for each in found)
    click.echo(f"zones: {len(found)}, names: {names}, problems: {len(problems)}")
    if problems:
        raise click.exceptions.Exit(1)


@command.command("import")
@click.argument("zone")
@click.argument("zone_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--delete", is_flag=True, help="Remove the names that the file does not have.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@consul_option
@config_option
def import_(
    zone: str,
    zone_file: Path,
    delete: bool,
    dry_run: bool,
    file: Path | None,
    consul_addr: str | None,
) -> None:
    """Write the records of a zone file (RFC 1035) to the KV tree.

    Names whose records differ are overwritten, others are kept. SOA and DNSSEC are left out.

    Example: consuldns zone import example.internal example.internal.zone --dry-run
    """
    from consuldns.consul import zones as stored_zones

    text = _text_of(zone_file)
    task = stored_zones.import_zone(
        _settings(file, consul_addr), zone, text, str(zone_file), delete=delete, dry_run=dry_run
    )
    done = asyncio.run(task)
    for path in done.written if dry_run else ():
        click.echo(f"+ {path}")
    for path in done.removed if dry_run else ():
        click.echo(f"- {path}")
    for each in done.left_out:
        click.echo(f"left out: {each}", err=True)
    would = "would be " if dry_run else ""
    click.echo(f"names {would}written: {len(done.written)}, removed: {len(done.removed)}")


@command.command()
@click.argument("zone")
@click.argument("zone_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--server",
    metavar="ADDR:PORT",
    help="Server to ask.  [default: the first address in 'listen', if that is set, else "
    f"{SERVER}, the port of Consul and of 'consuldns dev']",
)
@config_option
def diff(zone: str, zone_file: Path, server: str | None, file: Path | None) -> None:
    """Compare what a DNS server answers with a zone file (RFC 1035).

    Asks for each record of the file but SOA and DNSSEC, and prints those that differ: with a minus
    sign what only the file has, with a plus sign what only the server has. It may be any server:
    consuldns after an import, Consul, or the one that is to be replaced.

    Exit status 0: no difference; 1: something differs; 9: no reply, as of dig.

    Example: consuldns zone diff example.internal example.internal.zone
    """
    from consuldns.zone_documents import layout
    from consuldns.zone_documents import zone_file as zone_files

    address = address_of_server(server, None, None, file)
    try:
        apex = layout.zone_of(zone)
    except ValueError as error:
        raise click.UsageError(f"{zone!r} is not the name of a zone: {error}") from error
    parsed = zone_files.read(_text_of(zone_file), apex, str(zone_file))
    for left_out in parsed.left_out:
        click.echo(f"left out: {left_out}", err=True)
    if _print_differences(parsed.names, apex, (address.host, address.port)):
        raise click.exceptions.Exit(1)


def _print_differences(
    names: "tuple[ZoneName, ...]", apex: "Labels", server: tuple[str, int]
) -> int:
    """Print what differs, and how many record sets do, which is returned."""
    from consuldns.zone_documents import comparison

    compared = different = 0
    try:
        for each in comparison.differences(names, apex, server):
            compared += 1
            if each is None:
                continue
            different += 1
            rcode = "" if each.rcode == "NOERROR" else f"\t; {each.rcode}"
            for line in each.missing:
                click.echo(f"-{line}{rcode}")
            for line in each.surplus:
                click.echo(f"+{line}")
    except comparison.NoReplyError as error:
        click.echo(f"Error: {error}", err=True)
        raise click.exceptions.Exit(EXIT_NO_REPLY) from error
    click.echo(f"record sets: {compared}, different: {different}")
    return different


def _text_of(zone_file: Path) -> str:
    try:
        return zone_file.read_text()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{zone_file} is not UTF-8: {error.reason}") from error
