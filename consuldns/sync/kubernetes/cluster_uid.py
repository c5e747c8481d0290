"""What tells one Kubernetes cluster from another.

The UID of the namespace kube-system lives as long as the cluster, and to read it takes one right
(`get` on that namespace). An account that has rights in a few namespaces only may not have it; then
the certificate authority of the API server tells, which every cluster has of its own, or the URL if
there is none. What Consul has recorded of the cluster is kept as long as either of them says that
it is ours, so that nothing changes hands when the right is given or taken away.
"""

import logging
from hashlib import blake2b

from consuldns.consul.operations import Node
from consuldns.sync.kubernetes import errors
from consuldns.sync.kubernetes.access import Access
from consuldns.sync.kubernetes.client import KubernetesClient
from consuldns.sync.kubernetes.reflector import SYSTEM_NAMESPACE
from consuldns.sync.ownership import API_MARK, CLUSTER_UID

_log = logging.getLogger(__name__)


def api_mark(access: Access) -> str:
    """What stands for the API server: `ca-<hash>` of its certificate authority, or `url-<hash>`."""
    word, of = ("ca", access.authorities) if access.authorities else ("url", access.url)
    return f"{word}-{blake2b(''.join(of.split()).encode(), digest_size=16).hexdigest()}"


async def find(client: KubernetesClient, recorded: Node | None) -> tuple[str, bool]:
    """The UID of the cluster, and whether kube-system has it, which then tells it at each list.

    `recorded` is the cluster's node in Consul. Raises KubernetesError.
    """
    mark = api_mark(client.access)
    meta = recorded.meta if recorded is not None else {}
    known, known_mark = meta.get(CLUSTER_UID, ""), meta.get(API_MARK, "")
    try:
        uid = (await client.namespace(SYSTEM_NAMESPACE)).metadata.uid
    except (errors.Forbidden, errors.UnknownResource) as error:
        _log.warning(
            "the namespace %s, whose UID tells one cluster from another, may not be read; %s tells "
            "instead: %s",
            SYSTEM_NAMESPACE,
            "the certificate authority" if mark.startswith("ca-") else "the URL of the API",
            error,
        )
        return (known if known and known_mark == mark else mark), False
    if known == mark:
        return known, False  # it began without the right
    return uid, True
