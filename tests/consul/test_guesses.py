"""Names that no list holds: which of them are looked up, and how often."""

import pytest

from consuldns.consul.kinds import KINDS, is_guess
from consuldns.consul.watch.guesses import BURST, PER_SECOND, Guesses
from consuldns.dns.answer import Answer, Outcome
from consuldns.dns.forwarded import Needs
from consuldns.dns.policy import Policy
from consuldns.dns.question import Question
from consuldns.dns.resolver import resolve
from consuldns.errors import NotFound
from consuldns.views import keys, model
from consuldns.views.clusters import Clusters
from consuldns.views.store import ViewStore
from consuldns.views.zone_records import ZoneNames

NAMES_OF_QUERIES = ("Listed Query", "db")


def views() -> ViewStore:
    """The lists, and nothing that is behind a name."""
    store = ViewStore()
    store.replace(keys.DatacenterList(), model.Datacenters(0, "dc1", ("dc1",)))
    store.replace(keys.ServiceList("dc1"), model.Services(1, ("Web", "sp ace"), ()))
    store.replace(keys.NodeList("dc1"), model.Nodes(1, ()))
    store.replace(keys.ClusterList("dc1"), Clusters(1, ()))
    store.replace(keys.ZoneList(), ZoneNames(1))
    store.replace(keys.PreparedQueryList("dc1"), model.PreparedQueries(1, NAMES_OF_QUERIES))
    return store


def test_the_burst_and_then_the_rate() -> None:
    guesses = Guesses()
    assert sum(guesses.take(100.0) for _ in range(1_000)) == BURST
    taken = sum(guesses.take(100.0 + step / 100) for step in range(1_001))
    assert taken == pytest.approx(10 * PER_SECOND, abs=1)
    assert guesses.refused == 2_001 - BURST - taken


@pytest.mark.parametrize(
    ("key", "guess"),
    [
        (keys.ConnectInstances("dc1", "web"), False),
        (keys.ConnectInstances("dc1", "sp ace"), False),
        (keys.ConnectInstances("dc1", "other"), True),
        (keys.IngressInstances("dc1", "other"), True),
        (keys.PreparedQueryResult("dc1", "listed query"), False),
        (keys.PreparedQueryResult("dc1", "geo-x"), True),
        (keys.ServiceInstances("dc1", "web"), False),
    ],
)
def test_what_is_listed_is_no_guess(key: keys.ViewKey, guess: bool) -> None:
    assert is_guess(key, views()) is guess
    KINDS[type(key)].proof(key, views())


ODD = ["a b", "a/b", "..", "a..b", "a?b", "%2e", "a\0b", "é", "-a", "a-", "x" * 129, ""]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_become_no_request(name: str) -> None:
    for key in (keys.ConnectInstances("dc1", name), keys.PreparedQueryResult("dc1", name)):
        with pytest.raises(NotFound):
            KINDS[type(key)].proof(key, views())


@pytest.mark.parametrize("label", [b"\xff", b"a b", b"a/b", b"\0", "é".encode(), b"-a"])
@pytest.mark.parametrize("keyword", [b"connect", b"ingress", b"query"])
def test_odd_names_are_denied_without_a_view(label: bytes, keyword: bytes) -> None:
    """A flood of them costs neither Consul nor memory."""
    answer = resolve(Question((label, keyword, b"consul"), 1), views(), Policy())
    assert isinstance(answer, Answer)
    assert answer.outcome is Outcome.NXDOMAIN


def test_a_listed_name_may_have_any_characters() -> None:
    name = (b"listed query", b"query", b"consul")
    assert resolve(Question(name, 1), views(), Policy()) == Needs(
        keys.PreparedQueryResult("dc1", "listed query")
    )
