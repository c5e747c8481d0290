"""The names of the Kubernetes DNS specification 1.1.0: what stands left of the zone, parsed."""

from enum import StrEnum

import msgspec

from consuldns.names import Labels

# What the last label left of a Kubernetes zone can be.
KUBERNETES_KINDS = frozenset((b"svc", b"pod", b"dns", b"dns-version"))


class Form(StrEnum):
    """The forms of names in a Kubernetes zone, by what is left of the zone."""

    ZONE = "zone"  # nothing
    KIND = "kind"  # svc, pod or dns, which names exist below
    NAMESPACE = "namespace"  # <namespace>.svc
    SERVICE = "service"  # <service>.<namespace>.svc
    ENDPOINT = "endpoint"  # <endpoint>.<service>.<namespace>.svc
    PROTOCOL = "protocol"  # _<protocol>.<service>.<namespace>.svc, above the ports
    PORT = "port"  # _<port>._<protocol>.<service>.<namespace>.svc
    BELOW_SERVICE = "below service"  # anything else that ends in <service>.<namespace>.svc
    POD_NAMESPACE = "pod namespace"  # <namespace>.pod
    POD = "pod"  # <address>.<namespace>.pod
    BELOW_POD = "below pod"  # anything else that ends in <address>.<namespace>.pod
    NAME_SERVER = "name server"  # ns.dns
    VERSION = "version"  # dns-version
    OTHER = "other"  # none of the specification's forms


class RecordRequest(msgspec.Struct, frozen=True):
    """A name of the Kubernetes DNS specification 1.1.0, parsed (as CoreDNS's `recordRequest`).

    `pod` is the label that spells a pod's address. `port` and `protocol` are without their
    underscores. `left` is what stands left of the service or the pod, the labels of OTHER are all
    there.
    """

    form: Form
    namespace: bytes = b""
    service: bytes = b""
    endpoint: bytes = b""
    port: bytes = b""
    protocol: bytes = b""
    pod: bytes = b""
    left: Labels = ()


# Looked up once: a member of an Enum costs 75 ns each time on CPython 3.11.
_NAMESPACE, _SERVICE, _ENDPOINT, _BELOW = (
    Form.NAMESPACE,
    Form.SERVICE,
    Form.ENDPOINT,
    Form.BELOW_SERVICE,
)


def of_kubernetes(path: Labels) -> RecordRequest:
    """What the folded labels left of a Kubernetes zone ask for."""
    if not path:
        return RecordRequest(Form.ZONE)
    kind, labels = path[-1], path[:-1]
    if not labels:
        form = Form.VERSION if kind == b"dns-version" else Form.KIND
        return RecordRequest(form if kind in KUBERNETES_KINDS else Form.OTHER, left=path)
    if kind == b"svc":
        return _in_svc(labels)
    if kind == b"pod":
        return _in_pod(labels)
    form = Form.NAME_SERVER if path == (b"ns", b"dns") else Form.OTHER
    return RecordRequest(form, left=path)


def _in_svc(labels: Labels) -> RecordRequest:
    if len(labels) == 1:
        return RecordRequest(_NAMESPACE, labels[0])
    service, namespace, left = labels[-2], labels[-1], labels[:-2]
    if not left:
        return RecordRequest(_SERVICE, namespace, service)
    is_underscored = all([label[0] == ord("_") for label in left])
    if len(left) == 1 and not is_underscored:
        return RecordRequest(_ENDPOINT, namespace, service, left[0], left=left)
    if len(left) > 2 or not is_underscored:
        return RecordRequest(_BELOW, namespace, service, left=left)
    if len(left) == 1:
        return RecordRequest(Form.PROTOCOL, namespace, service, protocol=left[0][1:], left=left)
    port, protocol = left[0][1:], left[1][1:]
    return RecordRequest(Form.PORT, namespace, service, port=port, protocol=protocol, left=left)


def _in_pod(labels: Labels) -> RecordRequest:
    if len(labels) == 1:
        return RecordRequest(Form.POD_NAMESPACE, labels[0])
    form = Form.POD if len(labels) == 2 else Form.BELOW_POD
    return RecordRequest(form, labels[-1], pod=labels[-2], left=labels[:-2])
