"""Which datacenter the agent is in, for the DNS and for the sync worker alike."""

from consuldns.consul.http import replies
from consuldns.consul.http.client import Client
from consuldns.errors import BadResponse, Denied


async def local_datacenter(client: Client) -> str:
    """The datacenter of the agent, or the one that is set. Never guessed.

    /v1/agent/self needs agent:read, which a token for DNS seldom has; the nodes say it as well.
    Raises Denied if the token may see neither, or another ConsulError.
    """
    if client.settings.datacenter:
        return client.settings.datacenter
    try:
        reply = await client.get("v1", "agent", "self")
        datacenter = replies.decode(reply.body, replies.AgentSelf).config.datacenter
    except (Denied, BadResponse):
        datacenter = ""
    if datacenter:
        return datacenter
    reply = await client.get("v1", "catalog", "nodes", query={"consistent": ""})
    for node in replies.decode_records(reply.body, replies.NODES)[0]:
        if node.datacenter:
            return node.datacenter
    raise Denied(
        "Consul does not say which datacenter it is: the token needs node:read or agent:read, or "
        "`datacenter` must be set under [consul]"
    )
