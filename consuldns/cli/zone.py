"""`consuldns zone`: the zones that people keep in Consul's KV tree."""

import asyncio
from pathlib import Path

import click

from consuldns.cli.options import config_option, configuration, setting_option
from consuldns.config.schema import Settings


@click.group()
def command() -> None:
    """List, check and import zones in Consul's KV tree.

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

    try:
        text = zone_file.read_text()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{zone_file} is not UTF-8: {error.reason}") from error
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
