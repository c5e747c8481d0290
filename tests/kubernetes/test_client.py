"""The client against the API server that there is: the scripted one, which most tests talk to, has
to do what a real one does (KUBEBUILDER_ASSETS)."""

from pathlib import Path

import pytest

from consuldns.sync.kubernetes.access import Access, FixedCredentials, plain_url
from consuldns.sync.kubernetes.client import KubernetesClient
from consuldns.sync.kubernetes.errors import Gone, Unauthorized
from consuldns.sync.kubernetes.kubeconfig import from_kubeconfig
from consuldns.sync.kubernetes.objects import ENDPOINT_SLICES, NODES, SERVICES, Item, ResourceKind
from tests.kubernetes.clusters import ScriptedCluster
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.objects import endpoint, node, service, slice_


def access(kubernetes: Cluster) -> Access:
    option, value = kubernetes.arguments
    return plain_url(value) if option == "--kube-api" else from_kubeconfig([Path(value)])


async def watched(
    client: KubernetesClient, kind: ResourceKind[Item], version: str, *, label_selector: str = ""
) -> list[tuple[str, str]]:
    """Type and name of what a watch of 2 s tells, until the server ends it."""
    watch = client.watch(kind, version, seconds=2, silence=20, label_selector=label_selector)
    return [(seen.type, seen.object.metadata.name) async for seen in watch if seen.object]


async def test_pages_make_one_list(kubernetes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"s{number}" for number in range(5)]
    for number, name in enumerate(names):
        kubernetes.put("services", service(name, f"10.254.1.{number + 1}"))
    monkeypatch.setattr("consuldns.sync.kubernetes.client.PAGE", 2)
    async with KubernetesClient(access(kubernetes)) as client:
        listed = await client.list(SERVICES)
        # A real API server has one of its own.
        found = [
            each.metadata.name for each in listed.objects if each.metadata.name != "kubernetes"
        ]
        assert found == names
        assert await watched(client, SERVICES, listed.version) == []


async def test_a_watch_tells_what_happened_since_the_list(kubernetes: Cluster) -> None:
    kubernetes.put("services", service("before", "10.254.1.1"))
    async with KubernetesClient(access(kubernetes)) as client:
        version = (await client.list(SERVICES)).version
        kubernetes.put("services", service("web", "10.254.1.2"))
        kubernetes.put("services", service("web", "10.254.1.2", ports=[{"port": 81}]))
        kubernetes.delete("services", "web")
        expected = [("ADDED", "web"), ("MODIFIED", "web"), ("DELETED", "web")]
        assert await watched(client, SERVICES, version) == expected


async def test_slices_and_nodes(kubernetes: Cluster) -> None:
    kubernetes.put("nodes", node("n1", "10.10.10.6", "198.51.100.6"))
    one = endpoint("10.0.0.1", pod="web-1", node="n1", hostname="one")
    two = endpoint("10.0.0.2", ready=False, serving=True, terminating=True)
    kubernetes.put("endpointslices", slice_("web", one, two))
    async with KubernetesClient(access(kubernetes)) as client:
        (found,) = (await client.list(NODES)).objects
        assert found.is_ready
        assert found.addresses("ExternalIP", "InternalIP") == ("198.51.100.6", "10.10.10.6")
        slices = (await client.list(ENDPOINT_SLICES)).objects
        (web,) = [each for each in slices if each.service == ("default", "web")]
        first, second = web.endpoints or ()
        assert (first.addresses, first.hostname, first.node_name) == (("10.0.0.1",), "one", "n1")
        assert second.conditions is not None
        assert (second.conditions.ready, second.conditions.terminating) == (False, True)


async def test_what_loses_its_label_is_deleted_for_who_watches_by_labels(
    kubernetes: Cluster,
) -> None:
    kubernetes.put("services", service("web", "10.254.1.1", labels={"dns": "yes"}))
    async with KubernetesClient(access(kubernetes)) as client:
        listed = await client.list(SERVICES, "dns=yes")
        assert [each.metadata.name for each in listed.objects] == ["web"]
        kubernetes.put("services", service("web", "10.254.1.1"))
        events = await watched(client, SERVICES, listed.version, label_selector="dns=yes")
        assert events == [("DELETED", "web")]


async def test_a_version_of_long_ago_is_gone(kubernetes: Cluster) -> None:
    kubernetes.lose_history()
    async with KubernetesClient(access(kubernetes)) as client:
        with pytest.raises(Gone, match="410 Expired: too old resource version: 1 "):
            await watched(client, SERVICES, "1")


async def test_a_wrong_token_is_unauthorized(kubernetes: Cluster) -> None:
    if isinstance(kubernetes, ScriptedCluster):
        kubernetes.server.token = "right"
    right = access(kubernetes)
    wrong = Access(right.url, "a test", FixedCredentials("Bearer wrong"), verify=False)
    async with KubernetesClient(wrong) as client:
        with pytest.raises(Unauthorized, match="401 Unauthorized: Unauthorized"):
            await client.list(SERVICES)
