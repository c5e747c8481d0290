"""Text that is made from the schema and the values: the reference, and `config show`."""

import textwrap
from collections.abc import Iterator

from consuldns.config.load import Configuration
from consuldns.config.schema import Setting, by_path, declared, sections
from consuldns.config.values import format_value

HEAD = """\
# Configuration

<!-- Written by `consuldns config reference`: change consuldns/config/ instead. -->

A setting has its value from the first of these that gives one: a flag, the environment, the file,
the default. `consuldns config show --origin` prints every value and where it is from, `consuldns
config check` says what is wrong.

- **File**: TOML, named by `--config`, else `/etc/consuldns/consuldns.toml` if that exists. An
  unknown key is an error.
- **Environment**: lists are separated by commas, tables are `name=value,name=value`. Where Consul's
  own tools know a variable (`CONSUL_HTTP_ADDR`), it counts here too, below ours; with
  `CONSUL_HTTP_SSL=true` the address is https. An empty variable counts as not set.
- **Durations** are written as for Consul: `"10s"`, `"5m"`, `"1h30m"`, `"500ms"`; a bare number is
  seconds.
- A change takes effect when the server is started again.
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
    """The values as a TOML file that gives the same settings; each with its origin as a comment.

    Secrets are `***`; a reader of the output must not get them.
    """
    values = by_path(configuration.settings)
    lines = []
    for section in sections():
        lines += ["", f"[{section}]"] if section else []
        for setting in _of(section):
            line = f"{setting.key} = {format_value(values[setting.path])}"
            origin = configuration.origins[setting.path]
            lines.append(f"{line}  # {origin.text}" if origins else line)
    return "\n".join(lines) + "\n"


def _of(section: str) -> list[Setting]:
    return [setting for setting in declared().values() if setting.section == section]
