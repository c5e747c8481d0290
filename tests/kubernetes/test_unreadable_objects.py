"""Kubernetes objects that cannot be read are skipped, named once, and kept as they were."""

import json

import pytest

from consuldns.sync.kubernetes import client, errors
from consuldns.sync.kubernetes.access import plain_url
from consuldns.sync.kubernetes.client import KubernetesClient, ListResult, WatchEvent
from consuldns.sync.kubernetes.objects import SERVICES, Service
from consuldns.sync.kubernetes.reflector import Store
from consuldns.untrusted import read_as
from tests.consul.nasty import DEEP, LARGE_NUMBER, VERY_DEEP
from tests.kubernetes.objects import service

METADATA = b'"metadata": {"name": "web", "namespace": "default", "resourceVersion": "7"}'
SPOILED = {
    "deep": b'{"x": %b, %b}' % (DEEP, METADATA),
    "very deep": b'{"spec": {"x": %b}, %b}' % (VERY_DEEP, METADATA),
    "a port of 10^23": b'{%b, "spec": {"ports": [{"port": %b}]}}' % (METADATA, LARGE_NUMBER),
    "invalid UTF-8": b'{%b, "spec": {"type": "\xff"}}' % METADATA,
    "a lone surrogate": b'{%b, "spec": {"type": "\\ud800"}}' % METADATA,
    "ports are an object": b'{%b, "spec": {"ports": {}}}' % METADATA,
    "specification is a list": b'{%b, "spec": []}' % METADATA,
}
KEY = ("default", "web")


@pytest.fixture
def kubernetes() -> KubernetesClient:
    return KubernetesClient(plain_url("http://127.0.0.1:1"))


def stored(name: str) -> Service:
    return read_as(json.dumps(service(name, "10.0.0.1")).encode(), Service)


@pytest.mark.parametrize("name", SPOILED)
def test_an_event_that_cannot_be_read_is_no_change(
    name: str, kubernetes: KubernetesClient, caplog: pytest.LogCaptureFixture
) -> None:
    line = b'{"type": "%b", "object": %b}'
    for _ in range(2):
        seen = kubernetes._event(line % (b"MODIFIED", SPOILED[name]), SERVICES)
        assert seen == WatchEvent("UNREAD", "7")
        assert Store(SERVICES).apply(seen) is None
    assert kubernetes.unread.count == {"services": 2}
    assert len([text for text in caplog.messages if "default/web" in text]) == 1
    with pytest.raises(errors.Gone):  # a list tells what is gone
        kubernetes._event(line % (b"DELETED", SPOILED[name]), SERVICES)


@pytest.mark.parametrize("name", SPOILED)
def test_an_object_that_cannot_be_read_is_not_gone(name: str) -> None:
    store = Store(SERVICES)
    store.replace(ListResult([stored("web"), stored("other")], "1"))
    body = b'{"metadata": {"resourceVersion": "9"}, "items": [%b]}' % SPOILED[name]
    page = client._page(body)
    assert page.metadata.resource_version == "9"
    assert len(page.items) == 1
    changes = store.replace(ListResult([], "9", frozenset({KEY})))
    assert list(store.objects) == [KEY]
    assert [before.metadata.name for before, _ in changes if before] == ["other"]


def test_nothing_counts_as_deletion_beside_an_object_without_a_name() -> None:
    store = Store(SERVICES)
    store.replace(ListResult([stored("web"), stored("other")], "1"))
    assert store.replace(ListResult([], "9", frozenset({None}))) == []
    assert len(store.objects) == 2


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{}",
            b"[]",
            b"null",
            b"<html>",
            b'{"items": []}',
            b'{"kind": "Status"}',
            VERY_DEEP,
        ),
        b'{"metadata": {"resourceVersion": "9"}}',
        b'{"metadata": {"resourceVersion": "9"}, "it',
    ],
)
def test_what_is_no_list_is_not_an_empty_one(body: bytes) -> None:
    with pytest.raises(errors.BadResponse):
        client._page(body)


@pytest.mark.parametrize("line", [b"{}", b"[", VERY_DEEP, b'{"type": 5}', b"\xff"])
def test_what_is_no_event_is_an_error_of_the_api(line: bytes, kubernetes: KubernetesClient) -> None:
    with pytest.raises(errors.BadResponse):
        kubernetes._event(line, SERVICES)
