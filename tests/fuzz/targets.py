"""What is done with octets from outside, by source. A target raises if something does not hold."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import dns.message

from consuldns.config.load import load
from consuldns.consul.kinds import KINDS
from consuldns.dns.forwarded import ForwardedQuestion
from consuldns.dns.policy import Policy
from consuldns.dns.resolver import resolve
from consuldns.errors import ConfigError, ConfigErrors, ConsuldnsError, ConsulError
from consuldns.server.handler import Handler, Unanswered
from consuldns.server.listen import Transport
from consuldns.sync.kubernetes import objects
from consuldns.untrusted import Unreadable, read_as, split_list
from consuldns.views import keys
from consuldns.wire.upstream import read_reply
from consuldns.zone_documents import document, zone_file
from consuldns.zone_documents.document import DocumentError
from consuldns.zone_documents.zone_file import ZoneFileError
from tests.server.one_worker import CATALOG
from tests.wire.packets import CLIENT

Target = Callable[[bytes], None]

QUESTION = ForwardedQuestion((b"www", b"example", b"com"), 1)
ID = 0x1234
ZONE = (b"example", b"test")
KEYS = (
    keys.DatacenterList(),
    keys.ServiceList("dc1"),
    keys.NodeList("dc1"),
    keys.ServiceInstances("dc1", "web"),
    keys.ReverseZone("0.70.254.10.IN-ADDR.ARPA"),
    keys.ReverseZoneList(),
    keys.ZoneList(),
    keys.ZoneContents("example.test"),
    keys.ClusterList("dc1"),
    keys.PreparedQueryList("dc1"),
    keys.PreparedQueryResult("dc1", "nearest"),
    keys.PeerList("dc1"),
)
KUBERNETES = (
    *(objects.SERVICES, objects.ENDPOINT_SLICES, objects.NODES, objects.NAMESPACES),
    *(objects.PODS, objects.INGRESSES),
)


def _no_view(_: object) -> None:
    """Queries wait for views that never come."""


@cache
def _handler() -> Handler:
    return Handler(
        CATALOG.views(),
        Policy(),
        need=_no_view,
        randomness=Random(1),
        clock=lambda: 0.0,
        resolve=resolve,
    )


def queries(content: bytes) -> None:
    """A packet: no failure, and no reply that others cannot read."""
    handler = _handler()
    for transport in Transport:
        found = handler.find(content, transport is Transport.TCP)
        reply = found or handler.handle(content, transport, lambda _: None, client=CLIENT)
        if isinstance(reply, Unanswered):
            continue
        assert reply[:2] == content[:2], "another id"
        assert reply[2] & 0x80, "not a reply"
        assert len(reply) <= 65_535
        message = dns.message.from_wire(reply, ignore_trailing=False)
        assert message.opcode() == content[2] >> 3 & 15
    assert not handler.counters.failures, "an unexpected error"


def upstream(content: bytes) -> None:
    """A reply of an upstream server: read, or refused."""
    with suppress(ConsuldnsError):
        read_reply(ID.to_bytes(2) + content, ID, QUESTION)


def consul(content: bytes) -> None:
    """A body of Consul as each kind of view: read as far as possible, or refused."""
    for key in KEYS:
        decode = KINDS[type(key)].decode
        assert decode is not None
        with suppress(ConsulError):
            decode(key, 1, content)


def kubernetes(content: bytes) -> None:
    """A list of Kubernetes' objects, as each kind."""
    try:
        parts = split_list(content)
    except Unreadable:
        parts = [content]
    for kind in KUBERNETES:
        for part in parts:
            with suppress(Unreadable):
                read_as(part, kind.type)


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="consuldns-fuzz-")


def configuration(content: bytes) -> None:
    """A configuration file: read, or every mistake named."""
    file = Path(_folder().name) / "consuldns.toml"
    file.write_bytes(content)
    with suppress(ConfigError, ConfigErrors):
        load(file=file, environment={})


def zones(content: bytes) -> None:
    """A document of a zone, and a zone file: read, and the same after writing, or refused."""
    with suppress(DocumentError):
        name = document.read(content, (b"www",), ZONE)
        assert document.read(document.write(name).encode(), (b"www",), ZONE) == name
    with suppress(ZoneFileError):
        zone_file.read(content.decode(errors="replace"), ZONE, "FILE")


TARGETS: Mapping[str, Target] = {
    each.__name__: each for each in (queries, upstream, consul, kubernetes, configuration, zones)
}
