"""`consuldns zone`: the zones that people keep in Consul's KV tree."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consuldns.cli.options import config_option, configuration, setting_option
from consuldns.cli.query import EXIT_NO_REPLY, SERVER, address_of_server
from consuldns.config.schema import Settings
from consuldns.config.values import HOST_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consuldns.names import Labels
    from consuldns.views.zone_records import ZoneName
    from consuldns.zone_documents.comparison import Difference


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
@click.argument("other", metavar="FILE|ADDR:PORT")
@click.option(
    "--server",
    metavar="ADDR:PORT",
    help="Server to compare.  [default: the first address in 'listen', if that is set, else "
    f"{SERVER}, the port of Consul and of 'consuldns dev']",
)
@consul_option
@config_option
def diff(
    zone: str, other: str, server: str | None, file: Path | None, consul_addr: str | None
) -> None:
    """Compare what a DNS server answers with a zone file (RFC 1035), or with another server.

    Of a file, each record is asked for, but SOA and DNSSEC. With another server, the questions are
    the names in Consul: those of the zone in the KV tree, and in Consul's domain services, tags
    and nodes. Prints what differs: with a minus sign what the server does not have, with a plus
    sign what only the server has.

    Exit status 0: no difference; 1: something differs, or cannot be compared (then standard error
    says why); 9: no reply, as of dig.

    Example: consuldns zone diff example.internal example.internal.zone
    """
    from consuldns.zone_documents import comparison

    own = address_of_server(server, None, None, file)
    address = (own.host, own.port)
    if Path(other).exists():
        names, apex = _names_of(Path(other), zone)
        found = comparison.differences(names, apex, address)
    else:
        from consuldns.consul import zones as stored_zones

        other_address = _address(other)
        questions = asyncio.run(stored_zones.questions(_settings(file, consul_addr), zone))
        found = comparison.between(questions, address, other_address)
    try:
        different = _print_differences(found)
    except comparison.NoReplyError as error:
        click.echo(f"Error: {error}", err=True)
        raise click.exceptions.Exit(EXIT_NO_REPLY) from error
    if different:
        raise click.exceptions.Exit(1)


def _names_of(zone_file: Path, zone: str) -> "tuple[tuple[ZoneName, ...], Labels]":
    """The names of a zone file, and that of its zone."""
    from consuldns.zone_documents import layout
    from consuldns.zone_documents import zone_file as zone_files

    try:
        apex = layout.zone_of(zone)
    except ValueError as error:
        raise click.UsageError(f"{zone!r} is not the name of a zone: {error}") from error
    parsed = zone_files.read(_text_of(zone_file), apex, str(zone_file))
    for left_out in parsed.left_out:
        click.echo(f"left out: {left_out}", err=True)
    return parsed.names, apex


def _address(other: str) -> tuple[str, int]:
    try:
        found = HOST_PORT.read(other)
    except ValueError as error:
        raise click.UsageError(
            f"{other!r} is not a file; as a server's address: {error}"
        ) from error
    return found.host, found.port


def _print_differences(found: "Iterator[Difference | None]") -> int:
    """Print what differs, and how many record sets do, which is returned."""
    compared = different = 0
    for each in found:
        compared += 1
        if each is None:
            continue
        different += 1
        for line in each.missing:
            click.echo(f"-{line}")
        for line in each.surplus:
            click.echo(f"+{line}")
    click.echo(f"record sets: {compared}, different: {different}")
    return different


def _text_of(zone_file: Path) -> str:
    try:
        return zone_file.read_text()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{zone_file} is not UTF-8: {error.reason}") from error
    except OSError as error:
        raise click.UsageError(f"{zone_file} cannot be read: {error.strerror}") from error
