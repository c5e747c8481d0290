"""The status page of the admin endpoint: figures as plots and tables, and a name explained.

It is whole without JavaScript; with it, the figures are renewed in place. Nothing is loaded from
anywhere else, and nothing on it changes the server.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from consuldns.web.status_page.plots import Plot

_FILES = files(__name__)
_environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
_template = _environment.from_string(_FILES.joinpath("page.html").read_text("utf-8"))

STYLE = _FILES.joinpath("page.css").read_text("utf-8")
SCRIPT = _FILES.joinpath("page.js").read_text("utf-8")

# The page shows what clients and Consul have named: nothing of it may become a script.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a heading; `numbers` are the columns with figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    nothing: str = ""  # what to say without a row


@dataclass(frozen=True, slots=True)
class Page:
    """All that is on the page. `reasons`: why the server is not ready."""

    version: str
    address: str
    reasons: Sequence[str]
    notes: Sequence[str]
    plots: Sequence[Plot]
    tables: Sequence[Table]


@dataclass(frozen=True, slots=True)
class Explained:
    """A name that somebody asked about, and what there is to say."""

    name: str = ""
    type: str = "A"
    text: str = ""
    types: Sequence[str] = field(
        default=("A", "AAAA", "SRV", "PTR", "TXT", "CNAME", "NS", "SOA", "HTTPS", "ANY")
    )


def render(page: Page, explained: Explained) -> str:
    """The page as HTML."""
    return _template.render(page=page, explained=explained)
