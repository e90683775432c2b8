"""What the programs of a node are told: configuration files and command lines. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["NodePlan", "configuration_files", "steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """Where things are."""

    name: str
    folder: Path
    binaries: Path
    cni: Path
    address: str
    pods: str
    cgroup: str
    kubeconfig: Path
    pause: str
    """The image that holds a pod's network; among `images`."""
    images: Sequence[Path]

    @property
    def socket(self) -> Path:
        return self.folder / "containerd" / "socket"


def configuration_files(plan: NodePlan) -> dict[str, str]:
    """Text by path below the plan's folder."""
    return {
        "containerd/config.toml": _containerd(plan),
        "cni/10-pods.conflist": json.dumps(_cni(plan)),
        "kubelet/config.yaml": json.dumps(_kubelet(plan)),
        "dns/Corefile": _corefile(plan),
    }


def steps(plan: NodePlan) -> list[dict[str, Any]]:
    """For `node_init`: programs in the order in which they start."""
    ctr = [_at(plan, "ctr"), "-a", str(plan.socket), "-n", "k8s.io"]
    imports = [
        {"command": [*ctr, "images", "import", str(tar)], "log": _log(plan, "ctr"), "once": True}
        for tar in plan.images
    ]
    if imports:
        imports[0]["until"] = str(plan.socket)
    containerd = [_at(plan, "containerd"), "-c", str(plan.folder / "containerd/config.toml")]
    return [
        {"command": containerd, "log": _log(plan, "containerd")},
        *imports,
        {"command": _kubelet_line(plan), "log": _log(plan, "kubelet")},
        {"command": _proxy_line(plan), "log": _log(plan, "kube-proxy")},
        {
            "command": [_at(plan, "coredns"), "-conf", str(plan.folder / "dns/Corefile")],
            "log": _log(plan, "coredns"),
        },
    ]


def _at(plan: NodePlan, name: str) -> str:
    return str(plan.binaries / name)


def _log(plan: NodePlan, name: str) -> str:
    return str(plan.folder / "log" / f"{name}.log")


def _containerd(plan: NodePlan) -> str:
    """`restrict_oom_score_adj`: not every root may raise its children's."""
    state = plan.folder / "containerd"
    return f"""version = 3
root = "{state}/root"
state = "{state}/state"
[grpc]
  address = "{plan.socket}"
[ttrpc]
  address = "{plan.socket}.ttrpc"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{plan.pause}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["{plan.cni}"]
    conf_dir = "{plan.folder}/cni"
"""


def _cni(plan: NodePlan) -> dict[str, Any]:
    """Routed, not bridged: packets between pods pass the filters that make Services."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": plan.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(plan.folder / "cni-addresses"),
    }
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}],
    }


def _kubelet(plan: NodePlan) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": plan.address,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": plan.cgroup,
        # A container that is killed again and again is still started at once.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
        "clusterDNS": [plan.address],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{plan.socket}",
        "enforceNodeAllocatable": [],
        "evictionHard": {},
        "failCgroupV1": False,
        "failSwapOn": False,
        "healthzPort": 0,
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "maxPods": 200,
        "nodeStatusUpdateFrequency": "5s",
        "registerNode": True,
        "resolvConf": "",
        "serializeImagePulls": False,
        "syncFrequency": "10s",
    }


def _kubelet_line(plan: NodePlan) -> list[str]:
    return [
        _at(plan, "kubelet"),
        f"--kubeconfig={plan.kubeconfig}",
        f"--config={plan.folder / 'kubelet/config.yaml'}",
        f"--root-dir={plan.folder / 'kubelet/root'}",
        f"--cert-dir={plan.folder / 'kubelet/pki'}",
        f"--hostname-override={plan.name}",
        f"--node-ip={plan.address}",
    ]


def _proxy_line(plan: NodePlan) -> list[str]:
    return [
        _at(plan, "kube-proxy"),
        f"--kubeconfig={plan.kubeconfig}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={plan.pods}",
        f"--hostname-override={plan.name}",
        f"--healthz-bind-address={plan.address}:10256",
        f"--metrics-bind-address={plan.address}:10249",
        # Limits of connections belong to the machine, not to us.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]


def _corefile(plan: NodePlan) -> str:
    return f""".:53 {{
    bind {plan.address}
    errors
    kubernetes cluster.local {{
        kubeconfig {plan.kubeconfig}
        pods insecure
        ttl 5
    }}
}}
"""
