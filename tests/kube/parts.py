"""The command lines of a control plane's four programs. Pure.

Rule 1: nothing listens on a fixed port; what need not listen does not.
Rule 2: etcd does not wait for the disk: what it holds is thrown away with the test.
Rule 3: access is decided by RBAC, users are known by token, as on any cluster.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["AUDITED", "PARTS", "Site", "command_lines"]

PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""In the order in which they start."""

_UNWANTED_CONTROLLERS = ("node-ipam-controller", "node-lifecycle-controller")
_WITHOUT_KUBELETS = (*_UNWANTED_CONTROLLERS, "taint-eviction-controller")

_FOR_KUBELETS = ("--kubelet-preferred-address-types=InternalIP",)
_FOR_MADE_UP_NODES = (
    # Nobody takes the first taint of such a node away.
    "--disable-admission-plugins=TaintNodesByCondition",
    # No pod runs that would reach the API server by its Service.
    "--endpoint-reconciler-type=none",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a control plane lives."""

    folder: Path
    """All it writes."""
    address: str
    """Where the API server listens; pods of a real node must reach it."""
    port: int
    etcd_port: int
    peer_port: int
    services: str
    """The addresses of Services, in CIDR form."""
    real_nodes: bool
    """Whether nodes have a kubelet: one made through the API beats no heart, and must stay."""


AUDITED = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {
            "level": "Request",
            "verbs": ["update", "patch"],
            "resources": [{"group": "apps", "resources": ["deployments/scale"]}],
        },
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:ebbtide"]},
        {"level": "None"},
    ],
}
"""What the API server notes: every write of a scale, and all that ebbtide asks."""


def command_lines(site: Site) -> Mapping[str, list[str]]:
    """Arguments by part."""
    return {
        "etcd": _etcd(site),
        "kube-apiserver": _apiserver(site),
        "kube-controller-manager": _controllers(site),
        "kube-scheduler": _scheduler(site),
    }


def _etcd(site: Site) -> list[str]:
    clients = f"http://127.0.0.1:{site.etcd_port}"
    peers = f"http://127.0.0.1:{site.peer_port}"
    return [
        f"--data-dir={site.folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _apiserver(site: Site) -> list[str]:
    keys = site.folder / "pki"
    return [
        f"--etcd-servers=http://127.0.0.1:{site.etcd_port}",
        f"--bind-address={site.address}",
        f"--advertise-address={site.address}",
        f"--secure-port={site.port}",
        f"--cert-dir={keys}",
        f"--service-cluster-ip-range={site.services}",
        f"--service-account-key-file={keys / 'accounts.key'}",
        f"--service-account-signing-key-file={keys / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={keys / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--profiling=false",
        f"--audit-policy-file={site.folder / 'audit-policy.json'}",
        f"--audit-log-path={site.folder / 'log' / 'audit.log'}",
        *(_FOR_KUBELETS if site.real_nodes else _FOR_MADE_UP_NODES),
    ]


def _controllers(site: Site) -> list[str]:
    keys = site.folder / "pki"
    unwanted = _UNWANTED_CONTROLLERS[:1] if site.real_nodes else _WITHOUT_KUBELETS
    return [
        f"--kubeconfig={site.folder / 'kubeconfig'}",
        f"--service-account-private-key-file={keys / 'accounts.key'}",
        f"--root-ca-file={keys / 'apiserver.crt'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        f"--controllers=*,{','.join(f'-{name}' for name in unwanted)}",
        # The client's limits would be what a test of many Deployments measures.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--secure-port=0",
        "--profiling=false",
    ]


def _scheduler(site: Site) -> list[str]:
    return [
        f"--kubeconfig={site.folder / 'kubeconfig'}",
        "--leader-elect=false",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--secure-port=0",
        "--profiling=false",
    ]
