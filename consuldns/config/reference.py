"""Renders the schema as the reference (Markdown), and the values for `config show` (TOML)."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from consuldns.config.load import Configuration
from consuldns.config.schema import Setting, by_path, declared, sections
from consuldns.config.values import Secret, format_value

HEAD = """\
# Configuration

<!-- Written by `consuldns config reference`: change consuldns/config/ instead. -->

The value of a setting comes from the first of these that has one: flag, environment, file,
default. `consuldns config show --origin` prints every value and its origin, `consuldns config
check` says what is not valid. Terms are explained in the [glossary](../glossary.md).

- **File**: TOML; `--config FILE`, else `/etc/consuldns/consuldns.toml` if it exists. An unknown
  key is an error.
- **Environment**: items of a list are separated by commas, tables are `name=value,name=value`. The
  variables of Consul's own tools, such as `CONSUL_HTTP_ADDR`, are read, too; `CONSULDNS_` variables
  override them. With `CONSUL_HTTP_SSL=true` the address is https. An empty variable counts as not
  set.
- **Durations** have Consul's syntax: `"10s"`, `"5m"`, `"1h30m"`, `"500ms"`; a bare number is in
  seconds.
- **Changes** of settings in `[dns]`, of `log_level`, `log_format` and `query_log` take effect
  after SIGHUP, all others after a restart.
"""


def markdown() -> str:
    """docs/reference/configuration.md."""
    return "\n".join([HEAD, *_markdown_sections()])


def _markdown_sections() -> Iterator[str]:
    for section, about in sections().items():
        yield f"## `[{section}]`\n\n{about}\n" if section else "## Top level\n"
        for setting in _of(section):
            yield _markdown_setting(setting)


def _markdown_setting(setting: Setting) -> str:
    declaration = setting.declaration
    variables = [setting.variable, declaration.consul_variable]
    facts = [
        f"Value: {declaration.kind.name}",
        f"Default: `{format_value(setting.default)}`",
        "Environment: " + ", ".join(f"`{name}`" for name in variables if name),
        f"Flag: `{declaration.flag}`" if declaration.flag else "",
    ]
    text = textwrap.fill(declaration.text, 100, break_on_hyphens=False)
    listed = "\n".join(f"- {fact}" for fact in facts if fact)
    return f"### `{setting.key}`\n\n{text}\n\n{listed}\n"


def toml(configuration: Configuration, *, origins: bool) -> str:
    """The values as a TOML file that results in the same settings, each with its summary.

    `origins`: where each value is from, too. Secrets are left out: they must not be visible.
    """
    values = by_path(configuration.settings)
    lines = []
    for section in sections():
        lines += ["", f"[{section}]"] if section else []
        for setting in _of(section):
            origin = configuration.origins[setting.path].text
            lines += ["", *_comment(setting.declaration.summary)]
            line = f"{setting.key} = {format_value(values[setting.path])}"
            if isinstance(values[setting.path], Secret) and values[setting.path]:
                line = f"# {setting.key} is set, and left out here"
            lines.append(f"{line}  # {origin}" if origins else line)
    return "\n".join(lines).lstrip("\n") + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def toml_of(values: Mapping[str, Any]) -> str:
    """Some values by path, as a TOML file with nothing else."""
    lines = []
    for section in sections():
        own = [setting for setting in _of(section) if setting.path in values]
        lines += ["", f"[{section}]"] if section and own else []
        for setting in own:
            value = setting.declaration.kind.read(values[setting.path])
            lines.append(f"{setting.key} = {format_value(value)}")
    return "\n".join(lines).lstrip("\n") + "\n"


def _of(section: str) -> list[Setting]:
    return [setting for setting in declared().values() if setting.section == section]
