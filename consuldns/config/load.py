"""Merges defaults, file, environment and flags into the settings, with the origin of each value.

    defaults < file < Consul's own variables < CONSULDNS_ variables < flags

Values stay raw until all sources are merged, so only the values in effect are parsed and checked;
an error names the source of its value. An empty variable counts as not set, as for Consul.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from consuldns.config.checks import complaints
from consuldns.config.consul_keys import explanation
from consuldns.config.schema import Setting, Settings, declared
from consuldns.config.values import BOOLEAN
from consuldns.errors import ConfigError, ConfigErrors

DEFAULT_FILE = Path("/etc/consuldns/consuldns.toml")  # read if it exists and no other is named

_TABLE = re.compile(r"\s*\[\s*([\w.\"' -]+?)\s*\]")
_PREFIX = "CONSULDNS_"
# The variables that Kubernetes sets for services.
_OF_KUBERNETES = re.compile(
    r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$"
)
_WITHOUT_QUOTES = re.compile(r"\s*[\w.-]+\s*=\s*[^\"'\[{\s][^\"']*")
_YAML = re.compile(r"\s*[\w.-]+:(\s|$)")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")

Section = TypeVar("Section", bound=msgspec.Struct)


class Level(IntEnum):
    """Kinds of sources; a higher one wins."""

    DEFAULT = 0
    FILE = 1
    CONSUL_ENVIRONMENT = 2
    ENVIRONMENT = 3
    FLAG = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value is from, as it is shown to users: `/etc/consuldns/consuldns.toml:12`."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Given:
    """A value as its source has it, not parsed yet."""

    raw: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings, and the origin of each by its path."""

    settings: Settings
    origins: Mapping[str, Origin]


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Configuration:
    """Merge the sources.

    `flags` and `defaults` (of one command, above the general ones) go by path; a flag that was not
    given is None or empty. Raises ConfigError if a value cannot be used, ConfigErrors if several.
    """
    settings, problems = declared(), _Problems()
    given = {path: _default(setting, defaults or {}) for path, setting in settings.items()}
    with problems.noted():
        given |= _from_file(file, settings, problems) if file is not None else {}
    with problems.noted():
        given |= _from_consul_variables(environment, settings, given)
    given |= _from_variables(environment, settings)
    given |= _from_flags(flags or {}, settings)
    with problems.noted():
        _choose_token(given)
    origins = {path: each.origin for path, each in given.items()}
    values = {path: setting.default for path, setting in settings.items()}
    unreadable = set(values)
    for path, each in given.items():
        with problems.noted():
            values[path] = _read(settings[path], each)
            unreadable.discard(path)
    for path, problem, hint in complaints(values):
        if path not in unreadable:
            problems.add(ConfigError(f"{path} {problem}", where=origins[path].text, hint=hint))
    problems.raise_all()
    return Configuration(_assemble(Settings, values, ""), origins)


class _Problems:
    """Collects errors, so that all of them can be mended at once."""

    def __init__(self) -> None:
        self._found: list[ConfigError] = []

    def add(self, error: ConfigError) -> None:
        """One more."""
        self._found.append(error)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Collect the error that ends what is within."""
        try:
            yield
        except ConfigError as error:
            self.add(error)

    def raise_all(self) -> None:
        """Raise what was found, if anything."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise ConfigErrors(self._found)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A warning for each variable that is named like a setting, and is none.

    Not an error, because Kubernetes sets variables such as CONSULDNS_PORT in every pod if there is
    a service named consuldns.
    """
    known = {setting.variable for setting in declared().values()}
    found = []
    for name in environment:
        if not name.startswith(_PREFIX) or name in known or _OF_KUBERNETES.search(name):
            continue
        rest = {each.removeprefix(_PREFIX): each for each in known}
        close = difflib.get_close_matches(name.removeprefix(_PREFIX), rest, n=1)
        hint = f"did you mean {rest[close[0]]}?" if close else "see 'consuldns config reference'"
        found.append(f"environment {name} is not a known setting ({hint})")
    return found


# --- sources -------------------------------------------------------------------------------------


def _default(setting: Setting, of_command: Mapping[str, Any]) -> Given:
    raw = of_command.get(setting.path, setting.default)
    return Given(raw, Origin(Level.DEFAULT, "default"))


def _from_file(
    file: Path, settings: Mapping[str, Setting], problems: _Problems
) -> dict[str, Given]:
    try:
        text = file.read_text()
        content = tomllib.loads(text)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ConfigError(problem, where=str(file), hint="see --config") from error
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(error, file, text) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"is not valid TOML: {error}", where=str(file)) from error
    given = {}
    for path, raw in _entries(content, "", settings):
        line = _line_of(path, text)
        where = f"{file}:{line}" if line else str(file)
        if path not in settings:
            problems.add(_unknown(path, where, settings))
            continue
        given[path] = Given(raw, Origin(Level.FILE, where))
    return given


def _not_toml(error: tomllib.TOMLDecodeError, file: Path, text: str) -> ConfigError:
    """With the line, and what beginners get wrong."""
    position = re.search(r"\(at line (\d+), column \d+\)", str(error))
    if position is None:
        return ConfigError(f"is not valid TOML: {error}", where=str(file))
    line = text.splitlines()[int(position[1]) - 1]
    if "overwrite" in str(error):
        hint = "it is set above already"
    elif _WITHOUT_QUOTES.fullmatch(line):
        hint = "text must be in quotes"
    elif _YAML.match(line):
        hint = 'this is not YAML: write key = "value"'
    else:
        hint = ""
    problem = str(error).removesuffix(position[0]).strip()
    where = f"{file}:{position[1]}"
    return ConfigError(
        f"is not valid TOML: {problem}: {line.strip()!r:.80}", where=where, hint=hint
    )


def _entries(
    table: Mapping[str, Any], prefix: str, settings: Mapping[str, Setting]
) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        path = prefix + key
        is_section = any(known.startswith(path + ".") for known in settings)
        if is_section and isinstance(value, dict):
            yield from _entries(value, path + ".", settings)
        else:
            yield path, value


def _unknown(path: str, where: str, settings: Mapping[str, Setting]) -> ConfigError:
    sections = {known.rpartition(".")[0] for known in settings} - {""}
    of_consul = explanation(path)
    if of_consul is not None:
        problem = f"unknown setting {path}: Consul's setting {of_consul}"
        hint = "'consuldns config import FILE' converts the configuration of an agent"
        return ConfigError(problem, where=where, hint=hint)
    if path in sections:
        return ConfigError(f"{path} must be a table", where=where, hint=f"write [{path}]")
    same_key = [known for known in settings if known.rpartition(".")[2] == path.split(".")[-1]]
    close = same_key or _similar(path, settings)
    if not close and "." not in path:
        close = difflib.get_close_matches(path, [*settings, *sections], n=1)
    found = f"[{close[0]}]" if close and close[0] in sections else "".join(close[:1])
    hint = f"did you mean {found}?" if found else "see 'consuldns config reference'"
    return ConfigError(f"unknown setting {path}", where=where, hint=hint)


def _similar(path: str, known: Iterable[str]) -> list[str]:
    """What is spelled like a path of the same depth: the last word counts, not its table."""
    table, _, key = path.rpartition(".")
    among = {each.rpartition(".")[2]: each for each in known if each.rpartition(".")[0] == table}
    return [among[each] for each in difflib.get_close_matches(key, among, n=1)]


def _line_of(path: str, text: str) -> int:
    """The line of a key or table, 0 if it is not found: tomllib keeps no positions."""
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if table := _TABLE.match(line):
            section = table[1].replace('"', "") + "."
            if section == f"{path}.":
                return number
        elif key := _KEY.match(line):
            here = section + key[1].replace('"', "")
            # An inline table holds the rest of the path in the same line.
            if f"{path}.".startswith(f"{here}."):
                return number
    return 0


def _from_consul_variables(
    environment: Mapping[str, str], settings: Mapping[str, Setting], lower: Mapping[str, Given]
) -> dict[str, Given]:
    given = {}
    for path, setting in settings.items():
        name = setting.declaration.consul_variable
        if name and environment.get(name):
            given[path] = Given(environment[name], _variable(Level.CONSUL_ENVIRONMENT, name))
    tls = environment.get("CONSUL_HTTP_SSL", "")
    origin = _variable(Level.CONSUL_ENVIRONMENT, "CONSUL_HTTP_SSL")
    if tls and _parse(BOOLEAN.read, tls, "CONSUL_HTTP_SSL", origin):
        # Consul 1.8.7 takes https then, even for an address that says http.
        address = str(given.get("consul.address", lower["consul.address"]).raw)
        if not address.startswith("unix:"):
            given["consul.address"] = Given(
                "https://" + address.removeprefix("http://").removeprefix("https://"), origin
            )
    return given


def _from_variables(
    environment: Mapping[str, str], settings: Mapping[str, Setting]
) -> dict[str, Given]:
    return {
        path: Given(environment[setting.variable], _variable(Level.ENVIRONMENT, setting.variable))
        for path, setting in settings.items()
        if environment.get(setting.variable)
    }


def _variable(level: Level, name: str) -> Origin:
    return Origin(level, f"environment {name}")


def _from_flags(flags: Mapping[str, Any], settings: Mapping[str, Setting]) -> dict[str, Given]:
    return {
        path: Given(raw, Origin(Level.FLAG, settings[path].declaration.flag))
        for path, raw in flags.items()
        if raw is not None and raw != ()
    }


# --- reading and checking ------------------------------------------------------------------------


def _choose_token(given: dict[str, Given]) -> None:
    """Leave one of `token` and `token_file`: that of the higher source.

    If Consul's own variables give both, the file wins, as for Consul (measured with 1.8.7).
    """
    token, file = given["consul.token"], given["consul.token_file"]
    if not token.raw or not file.raw:
        return
    if token.origin.level > file.origin.level:
        given["consul.token_file"] = Given("", token.origin)
    elif token.origin.level < file.origin.level or file.origin.level is Level.CONSUL_ENVIRONMENT:
        given["consul.token"] = Given("", file.origin)
    else:
        raise ConfigError(
            "consul.token and consul.token_file are both set",
            where=file.origin.text,
            hint="remove one of them",
        )


def _read(setting: Setting, given: Given) -> Any:
    if given.raw is setting.default:
        return given.raw
    return _parse(setting.declaration.kind.read, given.raw, setting.path, given.origin)


def _parse(read: Any, raw: Any, name: str, origin: Origin) -> Any:
    try:
        return read(raw)
    except ValueError as error:
        raise ConfigError(f"{name} {error}", where=origin.text) from error


def _assemble(section: type[Section], values: Mapping[str, Any], prefix: str) -> Section:
    fields: dict[str, Any] = {}
    defaults = section()
    for name in section.__struct_fields__:
        path = prefix + name
        if path in values:
            fields[name] = values[path]
        else:
            fields[name] = _assemble(type(getattr(defaults, name)), values, path + ".")
    return section(**fields)


# --- reading again -------------------------------------------------------------------------------

# What takes effect without a restart: a table, and the settings of the log.
RELOADED = ("dns", "log_level", "log_format", "query_log", "query_log_sample")
RELOADED_OF_TLS = ("tls.certificate", "tls.key")


def reloaded(running: Settings, read: Settings) -> Settings:
    """The settings to go on with: those that can change at run time are the ones just read."""
    tls = replace(read.tls, listen=running.tls.listen)
    return replace(running, tls=tls, **{name: getattr(read, name) for name in RELOADED})


def at_next_start(running: Settings, read: Settings) -> list[str]:
    """The paths of the settings that were read but take effect at the next start only."""
    return [
        path
        for path in declared()
        if not (path.partition(".")[0] in RELOADED or path in RELOADED_OF_TLS)
        and _value(running, path) != _value(read, path)
    ]


def _value(settings: Settings, path: str) -> Any:
    return reduce(getattr, path.split("."), settings)
