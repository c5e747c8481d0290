"""The status page in a real browser: Debian's Chromium."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import httpx
import pytest
from prometheus_client import CollectorRegistry

from consuldns.process.history import Sample
from consuldns.web import admin, serving
from consuldns.web.status_page import Page, Table
from consuldns.web.status_page.plots import HEIGHT, WIDTH, Line, Plot

EVIL = '"><script>document.title="taken"</script><img src=x onerror="document.title=1">'


class ScriptedServer:
    """What `Control` gives the page, with figures that grow with each rendering."""

    def __init__(self) -> None:
        self.rendered = 0
        self.reasons: list[str] = []

    def not_ready(self) -> list[str]:
        return self.reasons

    def notes(self) -> list[str]:
        return []

    def page(self) -> Page:
        self.rendered += 1
        line = Line("all", [1.0, 2.0, 4.0], "4 /s")
        return Page(
            version="1.2.3",
            address="127.0.0.1:53",
            reasons=self.reasons,
            notes=["sync worker: leader"],
            plots=[Plot("Queries", (line,), 4.0, "4 /s", 120)],
            tables=[
                Table("Rendered", ("what", "times"), [("page", str(self.rendered)), (EVIL, "1")]),
                Table("Nothing here", ("one",), [], nothing="None yet."),
            ],
        )

    async def explain(self, name: str, type_: str) -> str:
        if ".." in name:
            raise ValueError(f"not a domain name: {name}")
        return f"; {name} {type_}\n"


@pytest.fixture
async def served() -> AsyncIterator[tuple[ScriptedServer, str]]:
    server = ScriptedServer()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    routes = admin.server_routes(server)
    application = admin.application(server, CollectorRegistry(), further_routes=routes)
    async with serving.serving(application, listener):
        yield server, address


async def browse(url: str, *options: str) -> str:
    """The document as it is in the browser once its scripts have run."""
    chromium = shutil.which("chromium")
    assert chromium, "`make tools` installs it"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", *options, "--dump-dom", url]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode()


def title(html: str) -> str:
    found = re.search("<title>(.*)</title>", html)
    assert found is not None
    return found.group(1)


async def test_figures_are_renewed_in_place(served: tuple[ScriptedServer, str]) -> None:
    """With twelve seconds of the browser's own time, which pass at once."""
    server, address = served
    html = await browse(address, "--virtual-time-budget=12000")
    assert server.rendered == 3
    assert "<td>3</td>" in html
    assert html.count("<h2>Rendered</h2>") == 1
    assert title(html) == "ready · consuldns 127.0.0.1:53"


async def test_what_others_named_is_never_a_script(served: tuple[ScriptedServer, str]) -> None:
    _, address = served
    query = httpx.QueryParams({"name": EVIL, "type": EVIL})
    html = await browse(f"{address}/?{query}", "--virtual-time-budget=1000")
    assert title(html) == "ready · consuldns 127.0.0.1:53"
    assert "&lt;script&gt;" in html
    assert html.count("<script") == 1


async def test_reasons_are_shown(served: tuple[ScriptedServer, str]) -> None:
    server, address = served
    server.reasons = ["consul: no complete view yet"]
    html = await browse(address)
    assert title(html).startswith("not ready")
    assert "<li>consul: no complete view yet</li>" in html


class _Loaded(HTMLParser):
    """What a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action")]


async def test_it_is_whole_without_javascript(served: tuple[ScriptedServer, str]) -> None:
    _, address = served
    async with httpx.AsyncClient(base_url=address) as client:
        reply = await client.get("/", params={"name": "web.service.consul", "type": "SRV"})
        assert reply.status_code == 200
        assert "; web.service.consul SRV" in reply.text
        assert "<option selected>SRV</option>" in reply.text
        assert "None yet." in reply.text
        assert 'role="img" aria-label="Queries: all 4 /s"' in reply.text
        loaded = _Loaded()
        loaded.feed(reply.text)
        assert all(not re.match("[a-z]+:|//|/", each) for each in loaded.found)
        for each in ("status.css", "status.js", "metrics", "ready", "health"):
            assert each in loaded.found
            found = await client.get(f"/{each}")
            assert found.status_code == 200, each
        assert "not a domain name" in (await client.get("/", params={"name": "a..b"})).text
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_lines_stay_within_the_drawing() -> None:
    samples = [Sample(float(n % 7), 0.0, 0.0, 0.0) for n in range(120)]
    line = Line("all", [each.queries for each in samples], "6 /s")
    points = Plot("Queries", (line,), 6.0, "6 /s", 120).points(line)
    corners = [tuple(map(float, each.split(","))) for each in points.split()]
    assert len(corners) == 120
    assert corners[0][0] == 0
    assert corners[-1][0] == WIDTH
    assert all(0 <= y <= HEIGHT for _, y in corners)


def test_a_plot_without_figures() -> None:
    line = Line("all", [], "no figure yet")
    assert Plot("Queries", (line,), 0.0, "0 /s", 120).points(line) == ""
    flat = Line("all", [0.0, 0.0], "0 /s")
    assert Plot("Queries", (flat,), 0.0, "0 /s", 120).points(flat).count(",") == 2
