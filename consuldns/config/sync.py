"""The settings of the Kubernetes sync worker, `[sync]`."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from consuldns.config.declaration import Declaration
from consuldns.config.values import (
    BOOLEAN,
    DNS_LABEL,
    DOMAIN,
    DURATION,
    OPTIONAL_DOMAIN,
    OPTIONAL_HOST_PORT,
    TEXT,
    list_of,
    one_of,
    whole_number,
)
from consuldns.descriptor import CLUSTER_DOMAIN, EndpointMode, ReverseTarget
from consuldns.sockets import HostPort

ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]
EmptyVIPStatus = Literal["warning", "critical", "passing"]
NotReadyEndpoints = Literal["critical", "omit"]
NodePortAddresses = Literal["external-first", "external-only", "internal-only"]
CollisionPolicy = Literal["suffix", "merge", "skip"]
IngressAddresses = Literal["off", "host", "address"]
ReverseSource = Literal["cluster-ip", "headless", "endpoints", "manual", "load-balancer"]


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The Kubernetes sync worker: the services of a cluster in Consul's catalog and KV tree."""

    enabled: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether `consuldns serve` starts the worker as a child. Its death never touches the "
            "DNS. Default: no, because it writes to Consul; `consuldns sync run` is the same "
            "worker as a command of its own.",
        ),
    ] = False
    cluster: Annotated[
        str,
        Declaration(
            DNS_LABEL,
            "Name of the cluster, as it is written to Consul (node `k8s-<cluster>`). Two clusters "
            "in one Consul need two names; the worker refuses to share one.",
            flag="--cluster",
        ),
    ] = "kubernetes"
    kube_api: Annotated[
        str,
        Declaration(
            TEXT,
            "URL of a Kubernetes API that needs no credentials, such as http://127.0.0.1:8001 of "
            "`kubectl proxy`. Without, `kubeconfig` is taken, else the account of the pod that "
            "we run in, else ~/.kube/config.",
            flag="--kube-api",
        ),
    ] = ""
    kubeconfig: Annotated[
        str,
        Declaration(
            TEXT,
            "Kubeconfig files, with colons between. They are merged as kubectl does.",
            flag="--kubeconfig",
            consul_variable="KUBECONFIG",
        ),
    ] = ""
    context: Annotated[
        str,
        Declaration(TEXT, "Context of the kubeconfig. Default: its current one.", flag="--context"),
    ] = ""
    allow_namespaces: Annotated[
        tuple[str, ...],
        Declaration(
            list_of(TEXT),
            "Namespaces to sync, each listed by itself, so that a Role in each is enough. Default: "
            "all of them, kube-system too.",
        ),
    ] = ("*",)
    deny_namespaces: Annotated[
        tuple[str, ...],
        Declaration(list_of(TEXT), "Namespaces not to sync, even if they are allowed."),
    ] = ()
    types: Annotated[
        tuple[ServiceType, ...],
        Declaration(
            list_of(one_of(ServiceType)),
            "Types of services to sync; headless ones are ClusterIP services, too. No annotation "
            "brings back a service of a type that is left out. Without ClusterIP this is "
            "`syncClusterIPServices: false` of consul-k8s. Default: all of them.",
        ),
    ] = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
    label_selector: Annotated[
        str,
        Declaration(
            TEXT,
            "Only services with these labels are synced: `team=web,tier!=cache`. A service that "
            "loses its label is removed. Default: all services.",
        ),
    ] = ""
    default: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether services are synced that have no annotation `service-sync`. With false, only "
            "those are that ask for it.",
        ),
    ] = True
    mode: Annotated[
        EndpointMode,
        Declaration(
            one_of(EndpointMode),
            "What a service with a cluster IP is in the catalog: that address, its endpoints, or "
            "both. The cluster IP works without endpoints; endpoints are of use where pods are "
            "routed. A service may differ by the annotation `service-mode`.",
        ),
    ] = "vip"
    vip_without_endpoints: Annotated[
        EmptyVIPStatus,
        Declaration(
            one_of(EmptyVIPStatus),
            "State of a cluster IP that has no ready endpoint. Consul's DNS answers with `warning` "
            "instances (but for `only_passing`), not with `critical` ones.",
        ),
    ] = "warning"
    not_ready: Annotated[
        NotReadyEndpoints,
        Declaration(
            one_of(NotReadyEndpoints),
            "What an endpoint that is not ready is in the catalog: an instance in state critical, "
            "or none.",
        ),
    ] = "critical"
    serve_terminating: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether endpoints that are being shut down, but still serve, count as ready while no "
            "other endpoint of the service is, as for kube-proxy.",
        ),
    ] = False
    node_port_addresses: Annotated[
        NodePortAddresses,
        Declaration(
            one_of(NodePortAddresses),
            "Which addresses of nodes a NodePort service has: of each node, and for each address "
            "family of the service, the first of the first type that has one. Names and default "
            "are those of consul-k8s (`nodePortSyncType`).",
        ),
    ] = "external-first"
    load_balancer_endpoints: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether LoadBalancer services are their endpoints in the catalog, and not what the "
            "load balancer was given (`syncLoadBalancerEndpoints` of consul-k8s).",
        ),
    ] = False
    external_ips: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether a service that has `spec.externalIPs` is these and nothing else in the "
            "catalog, as with consul-k8s (but for headless and ExternalName services, to which "
            "Kubernetes brings nothing from there). Anyone who may create a service can write any "
            "address there (CVE-2020-8554), so not by default.",
        ),
    ] = False
    prefix: Annotated[
        str,
        Declaration(TEXT, "Put before each flat name: `k8s-` makes `k8s-redis`. Default: none."),
    ] = ""
    flat_names: Annotated[
        CollisionPolicy,
        Declaration(
            one_of(CollisionPolicy),
            "What to do with a service whose name somebody else had first, in Consul or in another "
            "namespace: name it `<service>-<namespace>`, add its instances to the other's, or "
            "leave it out. A service may differ by the annotation `service-collision`.",
        ),
    ] = "suffix"
    tag: Annotated[
        str,
        Declaration(
            TEXT, "Tag that every instance has, beside `cluster-<cluster>`. Empty for none."
        ),
    ] = "k8s"
    endpoint_names: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether the endpoints of services with a cluster IP have names and reverse names, too "
            "(`10-0-95-11.redis-master.default.svc...`, `pg-0.pg...`), as in CoreDNS. Default: no, "
            "because each endpoint that becomes ready, or ceases to be, is then written to Consul.",
        ),
    ] = False
    pod_names: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether an endpoint without a hostname is named after its pod "
            "(`web-7d4b9c-x2x4z.web...`) in place of its address, as by CoreDNS's "
            "`endpoint_pod_names`. A pod's name that is longer than 63 octets or has dots does "
            "not fit: that endpoint keeps its address. Default: no, as in CoreDNS.",
        ),
    ] = False
    ingress: Annotated[
        IngressAddresses,
        Declaration(
            one_of(IngressAddresses),
            "What a ClusterIP service is in the catalog that an Ingress exposes at the path `/`: "
            "the same as any other; the host of the Ingress, as an alias; or the addresses of its "
            "load balancer (`syncCatalog.ingress` of consul-k8s, and its `loadBalancerIPs`). The "
            "port is 443 if the host is under `spec.tls`, else 80. Needs the right to list and "
            "watch ingresses.",
        ),
    ] = "off"
    reverse: Annotated[
        tuple[ReverseSource, ...],
        Declaration(
            list_of(one_of(ReverseSource)),
            "Which addresses get a reverse name: cluster IPs; endpoints of headless services, and "
            "with `endpoint_names` those of all services; endpoints of services in mode "
            "`endpoints`; endpoints that somebody wrote by hand (who can thus name any address "
            "that is no cluster IP and no node); load balancers.",
        ),
    ] = ("cluster-ip", "headless")
    reverse_target: Annotated[
        ReverseTarget,
        Declaration(
            one_of(ReverseTarget),
            "What a reverse name points to: the flat name, `redis.service.dc1.consul`, or the "
            "nested one, `redis.default.svc.dc1.consul`. Where the flat name does not lead to the "
            "address it is the nested one in any case.",
        ),
    ] = "flat"
    reverse_verify_pods: Annotated[
        bool,
        Declaration(
            BOOLEAN,
            "Whether an endpoint gets a reverse name only if a pod of its namespace has the "
            "address. Needs the right to list and watch pods, and memory for all of them.",
        ),
    ] = False
    zone: Annotated[
        str,
        Declaration(
            OPTIONAL_DOMAIN,
            "Zone of the cluster's nested names. Default: `<datacenter>.<domain>`.",
        ),
    ] = ""
    cluster_domain: Annotated[
        str,
        Declaration(
            DOMAIN,
            "Domain of the cluster's own DNS (`clusterDomain` of the kubelet). An ExternalName in "
            "it leads to the service in a zone that is served here. Default: Kubernetes' own.",
        ),
    ] = CLUSTER_DOMAIN
    mass_delete_hold: Annotated[
        timedelta,
        Declaration(
            DURATION,
            "How long a removal of more than ten services, and more than half of them, is held "
            "that a list lacks; it is done when two complete lists, this far apart, say the same. "
            "What an event told to be deleted is not held.",
        ),
    ] = timedelta(seconds=60)
    transactions_per_second: Annotated[
        int,
        Declaration(
            whole_number(1, 1000),
            "Transactions that are sent to Consul at most. Each has up to 63 changes, and is one "
            "entry of the Raft log.",
        ),
    ] = 50
    admin_addr: Annotated[
        HostPort | None,
        Declaration(
            OPTIONAL_HOST_PORT,
            "Address of the worker's own `/metrics`, `/health` and `/ready`. Default: none.",
            flag="--admin-addr",
        ),
    ] = None

    def allows(self, namespace: str) -> bool:
        """Whether services of a namespace may be synced; what is denied wins."""
        is_denied = namespace in self.deny_namespaces or "*" in self.deny_namespaces
        return not is_denied and (
            "*" in self.allow_namespaces or namespace in self.allow_namespaces
        )
