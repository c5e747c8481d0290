"""Whose name an address gets."""

import pytest

from consuldns.sync.desired.reverse_names import Candidate, Rank, choose


def candidate(rank: Rank, service: str, target: str = "") -> Candidate:
    namespace, name = service.split("/")
    return Candidate("10.0.0.1", rank, (namespace, name), target or f"{name}.example")


VIP = candidate(Rank.CLUSTER_IP, "a/vip")
HOST = candidate(Rank.HOSTNAME, "a/db")
POD = candidate(Rank.HEADLESS, "a/cache")
OTHER = candidate(Rank.HEADLESS, "b/thief")
ENDPOINT = candidate(Rank.ENDPOINT, "a/any")
UNNAMED = Candidate("10.0.0.1", Rank.UNNAMED, ("a", "by-hand"), "")
UNWANTED = Candidate("10.0.0.1", Rank.CLUSTER_IP, ("a", "vip"), "")


@pytest.mark.parametrize(
    ("candidates", "nodes", "pods", "winner"),
    [
        pytest.param([], (), None, None, id="nobody"),
        pytest.param([POD], (), None, POD, id="alone"),
        pytest.param([OTHER, HOST, VIP], (), None, VIP, id="cluster-ip-first"),
        pytest.param([ENDPOINT, POD, HOST], (), None, HOST, id="hostname-before-others"),
        pytest.param([ENDPOINT, POD], (), None, POD, id="headless-before-endpoints"),
        pytest.param([candidate(Rank.HEADLESS, "a/z"), POD], (), None, POD, id="first-by-name"),
        pytest.param([POD, OTHER], (), None, None, id="two-namespaces-get-nothing"),
        pytest.param([POD, OTHER], (), {"10.0.0.1": {"a"}}, POD, id="the-pod-settles-it"),
        pytest.param([OTHER], (), {"10.0.0.1": {"a"}}, None, id="not-its-pod"),
        pytest.param([POD], (), {}, None, id="no-pod-at-all"),
        pytest.param([POD], ("10.0.0.1",), None, None, id="an-address-of-a-node"),
        pytest.param([VIP], ("10.0.0.1",), {}, VIP, id="cluster-ip-needs-no-witness"),
        pytest.param([UNWANTED, POD, OTHER], (), None, None, id="a-cluster-ip-without-a-name"),
        pytest.param([UNNAMED], (), None, None, id="leads-there-but-has-no-name"),
        pytest.param([UNNAMED, POD], (), None, POD, id="beside-one-that-has-none"),
        pytest.param([UNNAMED, OTHER], (), None, None, id="another-namespace-leads-there"),
        pytest.param([UNNAMED, OTHER], (), {"10.0.0.1": {"b"}}, OTHER, id="but-has-no-pod-there"),
    ],
)
def test_choose(
    candidates: list[Candidate],
    nodes: tuple[str, ...],
    pods: dict[str, set[str]] | None,
    winner: Candidate | None,
) -> None:
    assert choose(candidates, nodes=nodes, pods=pods) == winner
    assert choose(reversed(candidates), nodes=nodes, pods=pods) == winner
