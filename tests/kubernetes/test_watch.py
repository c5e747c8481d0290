"""List and watch against a server that misbehaves in every way that real ones were seen to.

Each scenario ends with the same question: does the copy have exactly what the cluster has? And
where it matters: how often was the server asked, and was anything ever missing in between?
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

import pytest

from consuldns.sync.kubernetes.access import FixedCredentials, plain_url
from consuldns.sync.kubernetes.client import KubernetesClient, lines
from consuldns.sync.kubernetes.objects import NODES, SERVICES, Node, Service
from consuldns.sync.kubernetes.reflector import Change, Reflector, RetryPolicy
from tests.kubernetes.api_server import ApiServer, Request, gone, line
from tests.kubernetes.objects import node, recording, service

QUICK = RetryPolicy(
    shortest=0.005,
    longest=0.05,
    reconnect=0.05,
    watch_seconds=(60, 60),
    grace=0.2,
    short=0.05,
)


class Watching:
    """A reflector of services at work."""

    def __init__(
        self, server: ApiServer, client: KubernetesClient, retry_policy: RetryPolicy, selector: str
    ) -> None:
        self.server = server
        self.news = asyncio.Event()
        self.removed: list[str] = []
        self.reflector: Reflector[Service] = Reflector(
            client, SERVICES, self._changed, selector, retry_policy
        )

    def _changed(self, changes: list[Change[Service]]) -> None:
        self.removed += [b.metadata.name for b, after in changes if after is None and b is not None]
        self.news.set()

    @property
    def names(self) -> set[str]:
        """The services of the copy."""
        return {name for _, name in self.reflector.store.objects}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it."""
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.002)

    async def until_names(self, *names: str) -> None:
        """Wait until the copy has exactly these."""
        await self.until(lambda: self.names == set(names))

    def requests(self, *, watch: bool) -> list[Request]:
        """The requests for services so far."""
        return [r for r in self.server.requests if r.resource == "services" and r.is_watch == watch]


@contextlib.asynccontextmanager
async def watching(
    server: ApiServer, *, retry_policy: RetryPolicy = QUICK, token: str = "", selector: str = ""
) -> AsyncIterator[Watching]:
    access = plain_url(server.url)
    if token:
        access = type(access)(server.url, "a test", FixedCredentials(f"Bearer {token}"))
    async with KubernetesClient(access) as client, asyncio.TaskGroup() as tasks:
        here = Watching(server, client, retry_policy, selector)
        task = tasks.create_task(here.reflector.run())
        yield here
        task.cancel()


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer() as running:
        running.put("services", service("a", "10.0.0.1"))
        yield running


async def test_list_then_watch(server: ApiServer) -> None:
    async with watching(server) as here:
        await here.until_names("a")
        server.put("services", service("b", "10.0.0.2"))
        await here.until_names("a", "b")
        server.delete("services", "a")
        await here.until_names("b")
        assert len(here.requests(watch=False)) == 1
        assert len(here.requests(watch=True)) == 1
        watch = here.requests(watch=True)[0].parameters
        assert watch["allowWatchBookmarks"] == "true"
        assert watch["timeoutSeconds"] == "60"


async def test_a_list_of_5000_comes_in_pages_of_500(server: ApiServer) -> None:
    for number in range(4999):
        server.put("services", service(f"s-{number}", "10.0.0.9"))
    async with watching(server) as here:
        await here.until(lambda: len(here.names) == 5000)
        pages = here.requests(watch=False)
        assert [page.parameters["limit"] for page in pages] == ["500"] * 10
        assert "resourceVersion" not in pages[0].parameters  # a consistent list, not a cached one


async def test_event_410_lists_again_and_notices_what_vanished(server: ApiServer) -> None:
    async def missed(request: Request) -> None:
        server.delete("services", "a")
        server.put("services", service("b", "10.0.0.2"))
        await request.begin_stream()
        await request.event("ERROR", gone())
        await request.end_stream()

    server.next(missed, watch=True)
    async with watching(server) as here:
        await here.until_names("b")
        assert here.removed == ["a"]
        assert len(here.requests(watch=False)) == 2
        assert here.reflector.restarts["gone"] == 1


async def test_event_410_as_recorded(server: ApiServer) -> None:
    recorded = recording("watch-too-old-resource-version")[0]["response"]["stream"][0]["line"]

    async def missed(request: Request) -> None:
        await request.begin_stream()
        await request.event(recorded["type"], recorded["object"])
        await request.end_stream()

    server.next(missed, watch=True)
    async with watching(server) as here:
        await here.until(lambda: len(here.requests(watch=False)) == 2)
        await here.until_names("a")


async def test_http_410_lists_again(server: ApiServer) -> None:
    async def missed(request: Request) -> None:
        server.delete("services", "a")
        await request.status(410, "Expired", "too old resource version")

    server.next(missed, watch=True)
    async with watching(server) as here:
        await here.until(lambda: here.removed == ["a"])
        assert len(here.requests(watch=False)) == 2


async def test_410_for_ever_is_not_asked_hotly(server: ApiServer) -> None:
    async def always(request: Request) -> None:
        await request.status(410, "Expired", "too old resource version")

    server.next(always, watch=True, times=6)
    retry_policy = RetryPolicy(shortest=0.02, longest=0.05)
    started = asyncio.get_running_loop().time()
    async with watching(server, retry_policy=retry_policy) as here:
        await here.until(lambda: len(here.requests(watch=True)) == 7)
    # The first list need not wait; the five after it do, 0.02 to 0.05 s at least.
    assert asyncio.get_running_loop().time() - started > 0.02 + 0.04 + 3 * 0.05


async def test_410_while_paging_begins_the_list_again(server: ApiServer) -> None:
    for number in range(700):
        server.put("services", service(f"s-{number}", "10.0.0.9"))

    async def expired(request: Request) -> None:
        if "continue" in request.parameters:
            await request.status(410, "Expired", "the provided continue parameter is too old")
        else:
            server.next(expired, watch=False)
            await server.list(request)

    server.next(expired, watch=False)
    async with watching(server) as here:
        await here.until(lambda: len(here.names) == 701)
        assert [("continue" in r.parameters) for r in here.requests(watch=False)] == [
            False,
            True,
            False,
            True,
        ]
        assert here.reflector.store.lists == 1


async def test_clean_close_watches_again_from_the_last_version(server: ApiServer) -> None:
    async def one_event_then_end(request: Request) -> None:
        await request.begin_stream()
        await request.event("ADDED", server.put("services", service("b", "10.0.0.2")))
        await request.end_stream()

    server.next(one_event_then_end, watch=True)
    async with watching(server) as here:
        await here.until(lambda: len(here.requests(watch=True)) == 2)
        await here.until_names("a", "b")
        assert len(here.requests(watch=False)) == 1
        assert here.requests(watch=True)[1].version == str(server.version)
        server.put("services", service("c", "10.0.0.3"))
        await here.until_names("a", "b", "c")


async def test_a_storm_of_short_closes_backs_off_and_then_lists(server: ApiServer) -> None:
    async def nothing(request: Request) -> None:
        await request.begin_stream()
        await request.end_stream()

    server.next(nothing, watch=True, times=5)
    retry_policy = dataclasses.replace(QUICK, short=60)  # on a slow machine, too, they are short
    async with watching(server, retry_policy=retry_policy) as here:
        await here.until(lambda: len(here.requests(watch=False)) == 2)
        assert len(here.requests(watch=True)) >= 5
        assert here.reflector.restarts["short"] == 5
        assert here.removed == []


async def test_bookmark_then_close_goes_on_from_the_bookmark(server: ApiServer) -> None:
    async def bookmark(request: Request) -> None:
        server.version = 900
        await request.begin_stream()
        await request.event("BOOKMARK", {"metadata": {"resourceVersion": "900"}})
        await request.end_stream()

    server.next(bookmark, watch=True)
    async with watching(server) as here:
        await here.until(lambda: len(here.requests(watch=True)) == 2)
        assert here.requests(watch=True)[1].version == "900"
        assert len(here.requests(watch=False)) == 1


async def test_recorded_bookmarks(server: ApiServer) -> None:
    lines_ = [each["line"] for each in recording("watch-services")[0]["response"]["stream"]]

    async def replay(request: Request) -> None:
        await request.begin_stream()
        for each in lines_:
            await request.event(each["type"], each["object"])
        await request.end_stream()

    server.next(replay, watch=True)
    async with watching(server) as here:
        await here.until(lambda: len(here.requests(watch=True)) == 2)
        assert here.requests(watch=True)[1].version == "466"
        assert here.names == {"a"}  # frontend came, changed and went
        assert here.removed == ["frontend"]


@pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029", "\x0b", "\x1c"])
async def test_unusual_line_ends_in_an_annotation_are_no_line_ends(
    server: ApiServer, character: str
) -> None:
    text = f"one{character}two"
    async with watching(server) as here:
        await here.until_names("a")
        server.put("services", service("b", "10.0.0.2", annotations={"consuldns/x": text}))
        await here.until_names("a", "b")
        found = here.reflector.store.objects["default", "b"].metadata.annotations
        assert found == {"consuldns/x": text}
        assert len(here.requests(watch=True)) == 1


async def test_an_event_split_over_chunks_and_several_in_one(server: ApiServer) -> None:
    async def pieces(request: Request) -> None:
        first = line("ADDED", server.put("services", service("b", "10.0.0.2")))
        second = line("ADDED", server.put("services", service("c", "10.0.0.3")))
        third = line("ADDED", server.put("services", service("d", "10.0.0.4")))
        await request.begin_stream()
        for position in range(0, len(first), 7):
            await request.chunk(first[position : position + 7])
        await request.chunk(second + third[:20])
        await request.chunk(third[20:])
        await request.end_stream()

    server.next(pieces, watch=True)
    async with watching(server) as here:
        await here.until_names("a", "b", "c", "d")
        assert len(here.requests(watch=False)) == 1


async def test_a_very_long_line(server: ApiServer) -> None:
    async with watching(server) as here:
        await here.until_names("a")
        long = {"consuldns/x": "x" * 1_500_000}
        server.put("services", service("b", "10.0.0.2", annotations=long))
        await here.until_names("a", "b")


async def test_cut_in_the_middle_of_an_event_resumes_before_it(server: ApiServer) -> None:
    async def cut(request: Request) -> None:
        event = line("ADDED", server.put("services", service("b", "10.0.0.2")))
        await request.begin_stream()
        await request.chunk(event[: len(event) // 2])
        request.abort()

    server.next(cut, watch=True)
    async with watching(server) as here:
        await here.until_names("a", "b")
        assert len(here.requests(watch=False)) == 1


async def test_refused_then_back(server: ApiServer) -> None:
    async with watching(server) as here:
        await here.until_names("a")
        await server.stop()
        await here.until(lambda: here.reflector.restarts.get("unreachable", 0) >= 2)
        assert here.reflector.stale_since is not None
        server.put("services", service("b", "10.0.0.2"))
        await server.start()
        await here.until_names("a", "b")
        assert here.reflector.stale_since is None
        assert len(here.requests(watch=False)) == 1  # the history was still there
        assert here.removed == []


async def test_a_server_that_just_started_is_asked_again_soon(server: ApiServer) -> None:
    """It knows no rights yet, and says 403; a long outage before must not make the wait long."""

    async def knows_no_rights(request: Request) -> None:
        await request.status(403, "Forbidden", "services is forbidden")

    retry_policy = dataclasses.replace(QUICK, longest=60)
    async with watching(server, retry_policy=retry_policy) as here:
        await here.until_names("a")
        await server.stop()
        await here.until(lambda: here.reflector.restarts.get("unreachable", 0) >= 14)
        server.put("services", service("b", "10.0.0.2"))
        server.next(knows_no_rights)
        await server.start()
        await here.until_names("a", "b")
        assert here.reflector.restarts["forbidden"] == 1


async def test_half_open_is_noticed_by_its_silence(server: ApiServer) -> None:
    async def silent(request: Request) -> None:
        await request.begin_stream()
        server.put("services", service("b", "10.0.0.2"))
        await asyncio.Event().wait()

    server.next(silent, watch=True)
    retry_policy = RetryPolicy(shortest=0.005, reconnect=0.05, watch_seconds=(0, 0), grace=0.1)
    async with watching(server, retry_policy=retry_policy) as here:
        await here.until_names("a", "b")
        assert here.reflector.restarts["unreachable"] >= 1
        assert here.removed == []


async def test_a_watch_whose_bookmarks_stop_is_stuck(server: ApiServer) -> None:
    async def stuck(request: Request) -> None:
        await request.begin_stream()
        await request.event("BOOKMARK", {"metadata": {"resourceVersion": str(server.version)}})
        server.put("services", service("b", "10.0.0.2"))
        await asyncio.Event().wait()

    server.next(stuck, watch=True)
    retry_policy = dataclasses.replace(QUICK, grace=60, bookmark_silence=0.1)
    async with watching(server, retry_policy=retry_policy) as here:
        await here.until_names("a", "b")
        assert here.reflector.restarts == {"unreachable": 1}


async def test_a_watch_without_bookmarks_is_quiet(server: ApiServer) -> None:
    """A real server sends none in a watch that begins at the version of the last one."""

    async def ends(request: Request) -> None:
        await request.begin_stream()
        await request.event("BOOKMARK", {"metadata": {"resourceVersion": str(server.version)}})
        await request.end_stream()

    async def stuck(request: Request) -> None:
        await request.begin_stream()
        await request.event("BOOKMARK", {"metadata": {"resourceVersion": str(server.version)}})
        await asyncio.Event().wait()

    server.next(ends, watch=True)
    retry_policy = dataclasses.replace(QUICK, grace=60, bookmark_silence=0.1)
    async with watching(server, retry_policy=retry_policy) as here:
        await here.until(lambda: len(here.requests(watch=True)) == 2)
        # One that is stuck is given up meanwhile: as long as that, the other was silent, too.
        server.next(stuck, watch=True)
        async with watching(server, retry_policy=retry_policy) as other:
            await other.until(lambda: other.reflector.restarts == {"unreachable": 1})
        server.put("services", service("b", "10.0.0.2"))
        await here.until_names("a", "b")
        assert here.reflector.restarts == {"ended": 1}


async def test_429_waits_as_long_as_it_is_told(server: ApiServer) -> None:
    async def busy(request: Request) -> None:
        await request.status(429, "TooManyRequests", "slow down", Retry_After="1")

    server.next(busy, watch=False)
    started = asyncio.get_running_loop().time()
    async with watching(server) as here:
        await here.until_names("a")
        assert asyncio.get_running_loop().time() - started >= 1
        assert len(here.requests(watch=False)) == 2


@pytest.mark.parametrize(
    ("code", "reason"), [(500, "InternalError"), (503, "ServiceUnavailable"), (504, "Timeout")]
)
@pytest.mark.parametrize("watch", [False, True], ids=["list", "watch"])
async def test_errors_of_the_server_empty_nothing(
    server: ApiServer, code: int, reason: str, watch: bool
) -> None:
    async def fails(request: Request) -> None:
        await request.status(code, reason, "no")

    async with watching(server) as here:
        await here.until_names("a")
        server.next(fails, watch=watch, times=3)
        here.reflector.request_list()
        await here.until(lambda: not server.rules)
        server.put("services", service("b", "10.0.0.2"))
        await here.until_names("a", "b")
        assert here.removed == []


async def test_too_large_resource_version_as_recorded(server: ApiServer) -> None:
    recorded = recording("list-resource-version-too-large")[0]["response"]

    async def behind(request: Request) -> None:
        await request.status(recorded["status"], "Timeout", recorded["body"]["message"])

    server.next(behind, watch=True)
    async with watching(server) as here:
        await here.until(lambda: here.reflector.store.lists == 2)
        assert "resourceVersion" not in here.requests(watch=False)[1].parameters


async def test_403_is_not_empty(server: ApiServer) -> None:
    recorded = recording("anonymous-forbidden")[0]["response"]

    async def forbidden(request: Request) -> None:
        await request.status(recorded["status"], "Forbidden", recorded["body"]["message"])

    async with watching(server) as here:
        await here.until_names("a")
        server.next(forbidden, times=5)
        here.reflector.request_list()
        await here.until(lambda: here.reflector.restarts.get("forbidden", 0) >= 3)
        assert here.names == {"a"}
        await here.until(lambda: here.reflector.store.lists == 2)
        assert here.removed == []


async def test_403_at_the_start_is_never_listed(server: ApiServer) -> None:
    async def forbidden(request: Request) -> None:
        await request.status(403, "Forbidden", "services is forbidden")

    server.next(forbidden, times=4)
    async with watching(server) as here:
        await here.until(lambda: here.reflector.restarts.get("forbidden", 0) == 3)
        assert not here.reflector.store.is_listed
        await here.until_names("a")


async def test_a_kind_is_withheld_from_the_second_403_on_until_it_is_given(
    server: ApiServer,
) -> None:
    told = asyncio.Event()
    server.grants = set()
    async with watching(server) as here:
        here.reflector.on_change = lambda changes: None if changes else told.set()
        await here.until(lambda: here.reflector.restarts.get("forbidden", 0) == 1)
        assert not here.reflector.withheld
        await told.wait()  # who waits for the kind need not any more
        assert here.reflector.withheld
        server.grants = None
        await here.until_names("a")
        assert not here.reflector.withheld
        server.grants = set()
        await server.drop_connections()
        await here.until(lambda: here.reflector.withheld)
        assert here.names == {"a"}


async def test_a_kind_that_the_server_does_not_have_is_withheld(server: ApiServer) -> None:
    async def missing(request: Request) -> None:
        await request.status(404, "NotFound", "the server could not find the requested resource")

    server.next(missing, times=3)
    async with watching(server) as here:
        await here.until(lambda: here.reflector.withheld)
        await here.until_names("a")
        assert not here.reflector.withheld


async def test_a_kind_that_may_be_listed_but_not_watched_is_listed_again(
    server: ApiServer,
) -> None:
    async def forbidden(request: Request) -> None:
        await request.status(403, "Forbidden", "services is forbidden")

    server.next(forbidden, watch=True, times=100)
    async with watching(server) as here:
        await here.until(lambda: here.reflector.store.lists == 4)
        assert not here.reflector.withheld
        server.put("services", service("b", "10.0.0.2"))
        await here.until_names("a", "b")


async def test_a_namespace_is_listed_and_watched_by_itself(server: ApiServer) -> None:
    server.grants = {("services", "shop")}
    server.put("services", service("b", "10.0.0.2", namespace="shop"))
    async with watching(server) as here:
        here.reflector.namespace = "shop"
        await here.until_names("b")
        server.put("services", service("c", "10.0.0.3", namespace="shop"))
        server.put("services", service("d", "10.0.0.4"))
        server.delete("services", "b", "shop")
        await here.until_names("c")
        paths = {request.path for request in here.requests(watch=True)}
        assert paths == {"/api/v1/namespaces/shop/services"}


async def test_what_an_event_deleted_is_told_from_what_a_list_lacks(server: ApiServer) -> None:
    for name in ("b", "c"):
        server.put("services", service(name, "10.0.0.2"))
    async with watching(server) as here:
        await here.until_names("a", "b", "c")
        server.delete("services", "a")
        await here.until_names("b", "c")

        async def lacks_b(request: Request) -> None:
            server.delete("services", "b")
            server.compact()
            await server.list(request)

        server.next(lacks_b, watch=False)
        here.reflector.request_list()
        await here.until_names("c")
        assert here.reflector.store.deleted.keys() == {("default", "a")}
        server.put("services", service("a", "10.0.0.1"))
        await here.until_names("a", "c")
        assert not here.reflector.store.deleted


async def test_401_and_no_other_token(server: ApiServer) -> None:
    server.token = "new"
    async with watching(server, token="old") as here:
        await here.until(lambda: here.reflector.restarts.get("unauthorized", 0) >= 2)
        assert not here.reflector.store.is_listed


async def test_an_error_event_that_is_not_410_lists_again(server: ApiServer) -> None:
    recorded = recording("watch-services-streaming-list-unsupported-500")[0]
    error = recorded["response"]["stream"][0]["line"]["object"]

    async def fails(request: Request) -> None:
        await request.begin_stream()
        await request.event("ERROR", error)
        await request.end_stream()

    server.next(fails, watch=True)
    async with watching(server) as here:
        await here.until(lambda: here.reflector.store.lists == 2)
        assert here.removed == []


async def test_unknown_event_types_are_left_out(server: ApiServer) -> None:
    async def odd(request: Request) -> None:
        await request.begin_stream()
        await request.event("SURPRISE", {"metadata": {"resourceVersion": "1"}})
        await request.event("ADDED", server.put("services", service("b", "10.0.0.2")))
        await request.end_stream()

    server.next(odd, watch=True)
    async with watching(server) as here:
        await here.until_names("a", "b")
        assert len(here.requests(watch=False)) == 1


async def test_deleted_for_an_unknown_key_is_nothing(server: ApiServer) -> None:
    async def odd(request: Request) -> None:
        await request.begin_stream()
        await request.event("DELETED", service("never-seen", "10.0.0.7"))
        await request.event("ADDED", server.put("services", service("b", "10.0.0.2")))
        await request.event("ADDED", server.put("services", service("b", "10.0.0.2")))  # twice
        await request.end_stream()

    server.next(odd, watch=True)
    async with watching(server) as here:
        await here.until_names("a", "b")
        assert here.removed == []


async def test_garbage_in_a_watch_lists_again(server: ApiServer) -> None:
    async def garbage(request: Request) -> None:
        await request.begin_stream()
        await request.chunk(b"<html>\xff\n")
        await request.end_stream()

    server.next(garbage, watch=True)
    async with watching(server) as here:
        await here.until(lambda: here.reflector.store.lists == 2)
        assert here.names == {"a"}


async def test_a_service_that_loses_its_label_is_gone(server: ApiServer) -> None:
    server.put("services", service("b", "10.0.0.2", labels={"team": "web"}))
    async with watching(server, selector="team=web") as here:
        await here.until_names("b")
        server.put("services", service("b", "10.0.0.2", labels={"team": "db"}))
        await here.until_names()
        assert here.removed == ["b"]


async def test_request_list_lists_although_the_watch_is_well(server: ApiServer) -> None:
    async with watching(server) as here:
        await here.until(lambda: len(here.requests(watch=True)) == 1)
        here.reflector.request_list()
        await here.until(lambda: here.reflector.store.lists == 2)
        server.put("services", service("b", "10.0.0.2"))
        await here.until_names("a", "b")


async def test_request_list_may_come_many_times_at_once(server: ApiServer) -> None:
    """Each kind that is listed wakes who asks for the others once more."""
    async with watching(server) as here:
        await here.until(lambda: len(here.requests(watch=True)) == 1)

        async def ask_again() -> None:
            here.reflector.request_list()

        here.reflector.request_list()
        await asyncio.create_task(ask_again())  # one turn later, while the watch is ending
        await here.until(lambda: here.reflector.store.lists == 2)


async def test_request_list_is_not_forgotten_for_an_event_that_comes_with_it(
    server: ApiServer,
) -> None:
    async with watching(server) as here:
        await here.until(lambda: len(here.requests(watch=True)) == 1)
        changed = here.reflector.on_change

        def ask_again(changes: list[Change[Service]]) -> None:
            here.reflector.on_change = changed
            here.reflector.request_list()  # in the middle of an event, and another comes with it
            changed(changes)

        here.reflector.on_change = ask_again
        server.put("services", service("b", "10.0.0.2"))
        server.put("services", service("c", "10.0.0.3"))
        await here.until(lambda: here.reflector.store.lists == 2)


async def test_what_does_not_matter_is_no_change(server: ApiServer) -> None:
    """A node's heartbeat writes the node anew every few seconds, with other times in it."""
    server.put("nodes", node("n", "10.1.0.1"))
    changes: list[Change[Node]] = []
    async with KubernetesClient(plain_url(server.url)) as client, asyncio.TaskGroup() as tasks:
        reflector = Reflector(client, NODES, changes.extend, retry_policy=QUICK)
        task = tasks.create_task(reflector.run())
        beat = node("n", "10.1.0.1")
        beat["status"]["conditions"][0]["lastHeartbeatTime"] = "2026-01-01T00:00:00Z"
        async with asyncio.timeout(10):
            while not any(r.is_watch for r in server.requests):
                await asyncio.sleep(0.002)
            server.put("nodes", beat)
            server.put("nodes", node("n", "10.1.0.1", ready=False))
            while len(changes) < 2:
                await asyncio.sleep(0.002)
        assert len(changes) == 2  # came, and is not ready any more
        task.cancel()


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b", b"\n"], [b"ab"]),
        ([b"\n\n", b"a\n"], [b"a"]),
        ([b"a\r\n"], [b"a\r"]),
        ([b"cut"], []),
        (["é\u2028".encode()[:3], "é\u2028".encode()[3:] + b"\nx"], ["é\u2028".encode()]),
    ],
)
async def test_lines(chunks: list[bytes], expected: list[bytes]) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    assert [each async for each in lines(stream())] == expected
