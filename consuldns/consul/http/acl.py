"""What the token may do: whether something is gone, or may merely not be seen any more.

Consul hides what a token may not read: a list is shorter, an index unchanged, a folder of the KV
tree 404, exactly as if it had been deleted. So whatever vanishes is asked about. A 403 has two
meanings as well: a token that may not, or one that nobody knows (expired, or not in this datacenter
yet), and only the first says anything about the data.
"""

from collections.abc import Iterable
from enum import Enum

import msgspec

from consuldns.consul.http import replies
from consuldns.consul.http.client import Client
from consuldns.descriptor import DescriptorKey, RecordKey
from consuldns.errors import BadResponse, Denied, NotFound
from consuldns.views import model
from consuldns.views.clusters import Clusters
from consuldns.views.model import AnyView
from consuldns.views.zone_records import ZoneNames
from consuldns.zone_documents import layout

MAX_QUESTIONS = 64  # in a request; Consul refuses more


class Verdict(Enum):
    """Whether the token may read something."""

    GRANTED = "granted"
    MISSING = "missing"
    WITHOUT_ACLS = "ACLs are disabled"
    UNKNOWN = "Consul does not support the check"


async def is_token_known(client: Client, datacenter: str) -> bool:
    """Whether Consul knows the token that it has denied something. The anonymous one it does.

    Raises ConsulError if Consul does not support the check.
    """
    try:
        if client.has_token:
            await client.get("v1", "acl", "token", "self", query={"dc": datacenter})
    except Denied:
        return False
    return True


async def may_read(client: Client, datacenter: str, view: AnyView, names: Iterable[str]) -> Verdict:
    """Whether the token may read all of these (as `guard.names` has them) of a list.

    Asked as Consul's own user interface asks, from 1.7 on. Raises Unreachable.
    """
    questions = [_question(view, name) for name in sorted(names)[:MAX_QUESTIONS]]
    try:
        reply = await client.post(
            *("v1", "internal", "acl", "authorize"),
            body=msgspec.json.encode(questions),
            query={"dc": datacenter},
        )
        answers = replies.decode(reply.body, list[replies.Permission])
    except Denied:
        return Verdict.MISSING
    except NotFound:
        return Verdict.UNKNOWN
    except BadResponse as error:
        return Verdict.WITHOUT_ACLS if error.status == 401 else Verdict.UNKNOWN
    if len(answers) != len(questions):
        return Verdict.UNKNOWN
    return Verdict.GRANTED if all(each.allow for each in answers) else Verdict.MISSING


def _question(view: AnyView, name: str) -> dict[str, str]:
    match view:
        case model.Services():
            resource, segment = "service", name
        case model.Nodes():
            resource, segment = "node", name.removesuffix(".node")
        case Clusters():
            cluster, _, service = name.partition("/")
            key = DescriptorKey(cluster, *service.split("/")) if service else RecordKey(cluster)
            resource, segment = "key", key.path
        case ZoneNames():
            resource, segment = "key", f"{layout.ROOT}/{name}/"
        case _:
            resource, segment = "key", f"{name}/"
    return {"Resource": resource, "Access": "read", "Segment": segment}
