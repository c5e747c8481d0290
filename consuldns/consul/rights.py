"""What a 403 means: a token that may not, or a token that nobody knows.

Only the first says anything about the data. Consul answers both alike: with an expired token, or
one that has not reached this datacenter yet, everything is denied.
"""

from consuldns.consul.client import Client
from consuldns.errors import Denied


async def is_token_known(client: Client, datacenter: str) -> bool:
    """Whether Consul knows the token that it has denied something. The anonymous one it does.

    Raises ConsulError if Consul cannot say.
    """
    try:
        if client.has_token:
            await client.get("v1", "acl", "token", "self", query={"dc": datacenter})
    except Denied:
        return False
    return True
