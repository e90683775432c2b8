"""Values that the chart is tried with, good and wrong; and what is in its documents."""

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.kube.chart import CHART, render

EXAMPLES = CHART.parents[1] / "examples" / "kubernetes"

Values = Mapping[str, Any]
Rendering = Callable[..., list[dict[str, Any]]]
MATRIX: Mapping[str, Values] = {
    "defaults": {},
    "small": {
        "networkPolicy": {"enabled": False},
        "admission": {"annotations": False, "accounts": False},
        "gateway": {"podDisruptionBudget": {"enabled": False}},
        "redis": {"persistence": {"enabled": False}},
        "rbac": {"create": False},
    },
    "namespaces": {"namespaces": ["team-a", "team-b"], "settings": {"gpu_budget": 8}},
    "a Redis of one's own": {
        "redis": {
            "enabled": False,
            "url": {
                "existingSecret": "r",
                "key": "k",
                "tls": {"secretName": "s", "clientCertificate": True},
            },
        }
    },
    "one's own Secrets": {
        "admin": {"existingSecret": "a", "key": "admin.txt"},
        "redis": {"existingSecret": "r"},
        "gateway": {
            "tls": {"secretName": "t"},
            "apiKeys": {"existingSecret": "k"},
            "replicaTls": {"secretName": "c", "clientCertificate": True},
        },
    },
    "scaled": {
        "gateway": {
            "autoscaling": {"enabled": True},
            "podDisruptionBudget": {"maxUnavailable": "25%"},
        }
    },
    "named": {
        "fullnameOverride": "tide",
        "commonLabels": {"team": "ml"},
        "image": {"repository": "example.com/ebbtide", "digest": f"sha256:{'0' * 64}"},
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccounts": {"annotations": {"example.com/a": "b"}},
    },
    "placed": {
        part: {
            "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "k", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "priorityClassName": "system-cluster-critical",
        }
        for part in ("gateway", "autoscaler", "redis")
    },
    "extended": {
        part: {
            "extraEnv": [{"name": "A", "value": "b"}],
            "extraVolumes": [{"name": "v", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
            "podAnnotations": {"a": "b"},
            "podLabels": {"c": "d"},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
            ],
        }
        for part in ("gateway", "autoscaler")
    },
    "in front": {
        "service": {
            "type": "LoadBalancer",
            "externalTrafficPolicy": "Local",
            "loadBalancerClass": "example.com/lb",
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
            "annotations": {"a": "b"},
        },
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "hosts": ["models.example.com", "*.models.example.com"],
            "tls": [{"secretName": "t", "hosts": ["models.example.com"]}],
        },
    },
    "numbers for names": {
        "namespaces": ["8"],
        "settings": {"gpu_budget": 0},
        "admin": {"existingSecret": "1", "key": "2"},
        "gateway": {
            "tls": {"secretName": "3"},
            "apiKeys": {"existingSecret": "4", "key": "5"},
            "replicaTls": {"secretName": "6"},
            "priorityClassName": "7",
        },
        "redis": {
            "enabled": False,
            "url": {"existingSecret": "9", "key": "10", "tls": {"secretName": "11"}},
        },
        "service": {"type": "LoadBalancer", "loadBalancerClass": "12"},
        "ingress": {"enabled": True, "className": "13", "hosts": ["14"]},
    },
    "settings as YAML reads them": {
        "namespaces": ["team-a"],
        "settings": {
            "tls_min_version": 1.2,
            "tick": 1,
            "gpu_price": 0,
            "caller_wakes": 0,
            "max_waiting": 1000000,
            "trusted_peers": "10.0.0.0/8, fd00::/8",
            "gpu_budget": "NVIDIA-A100-SXM4-80GB=8, mig-1g.10gb=2, *=elastic:4",
        },
    },
    "with empty places": {
        "settings": None,
        "commonLabels": None,
        "namespaces": None,
        "gateway": {"resources": None, "podLabels": None, "tls": {"secretName": "17"}},
        "autoscaler": {"resources": {"limits": None}},
        "redis": {"existingSecret": "15", "persistence": {"storageClass": "16"}},
        "service": {"annotations": None},
        "ingress": {"enabled": True, "controller": "contour", "annotations": None},
    },
    "guarded": {
        "networkPolicy": {
            "egress": True,
            "requestsFrom": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}],
            "adminFrom": [{"podSelector": {}}],
            "redisTo": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
        }
    },
    "for kind": yaml.safe_load((EXAMPLES / "values-kind.yaml").read_text()),
    "for namespaces": yaml.safe_load((EXAMPLES / "values-namespaces.yaml").read_text()),
}


WRONG = {
    "an empty section": ({"gateway": None}, "missing property 'gateway'"),
    "an empty section within": ({"redis": {"url": None}}, "missing property 'url'"),
    "an empty number": ({"gateway": {"replicas": None}}, "missing property 'replicas'"),
    "an empty switch": ({"admission": {"accounts": None}}, "missing property 'accounts'"),
    "an empty list of ports": (
        {"networkPolicy": {"egress": True, "apiServerPorts": None}},
        "missing property 'apiServerPorts'",
    ),
    "Redis of no version": ({"redis": {"image": {"tag": ""}}}, "redis.image.tag"),
    "a label that selects": (
        {"gateway": {"podLabels": {"app.kubernetes.io/name": "x"}}},
        "gateway.podLabels: app.kubernetes.io/name",
    ),
    "no CPU to go by": (
        {"gateway": {"autoscaling": {"enabled": True}, "resources": {"requests": None}}},
        "gateway.resources.requests.cpu",
    ),
    "a name's beginning": ({"nameOverride": "2nd"}, "/nameOverride"),
    "gateway.replica": ({"gateway": {"replica": 3}}, "replica"),
    "gateway.replicas": ({"gateway": {"replicas": 0}}, "/gateway/replicas"),
    "gateway.resources": ({"gateway": {"resources": {"limit": {}}}}, "limit"),
    "a quantity": (
        {"redis": {"resources": {"limits": {"memory": "512MB"}}}},
        "/redis/resources/limits/memory",
    ),
    "a digest": ({"image": {"digest": "sha256:1"}}, "/image/digest"),
    "a type of Service": ({"service": {"type": "Loadbalancer"}}, "/service/type"),
    "a name": ({"fullnameOverride": "Tide"}, "/fullnameOverride"),
    "a namespace": ({"namespaces": ["a", "B"]}, "/namespaces/1"),
    "namespaces": ({"namespaces": "a"}, "/namespaces"),
    "a setting": ({"settings": {"min_residence": "1s"}}, "min_residence"),
    "a duration": ({"settings": {"min_residency": "soon"}}, "/settings/min_residency"),
    "a flag": ({"settings": {"access_log": "yes"}}, "/settings/access_log"),
    "a size": ({"settings": {"max_head": "64KB"}}, "/settings/max_head"),
    "a prefix": ({"settings": {"redis_prefix": "$(id):"}}, "/settings/redis_prefix"),
    "a word": ({"settings": {"no_free_gpu": "grow_first"}}, "'evict-first', 'grow-first'"),
    "a word that YAML reads as a flag": ({"settings": {"forwarded": False}}, "want string"),
    "a count": ({"settings": {"start_tries": "3k"}}, "/settings/start_tries"),
    "no time at all": ({"settings": {"tick": 0}}, "/settings/tick"),
    "a budget": ({"settings": {"gpu_budget": "elastic"}}, "/settings/gpu_budget"),
    "who may speak for others": (
        {"settings": {"trusted_peers": "proxy"}},
        "/settings/trusted_peers",
    ),
    "what the chart sets": ({"settings": {"shutdown_delay": 3}}, "shutdown_delay"),
    "an ingress controller": ({"ingress": {"controller": "apache"}}, "/ingress/controller"),
    "a host": ({"ingress": {"hosts": ["https://x"]}}, "/ingress/hosts/0"),
    "of no kind": ({"gatway": {}}, "gatway"),
    "a password": ({"redis": {"password": "x"}}, "password"),
    "redis away": ({"redis": {"enabled": False}}, "redis.url.existingSecret"),
    "two of Redis": ({"redis": {"url": {"existingSecret": "r"}}}, "redis.enabled is true"),
    "files for none of ours": ({"redis": {"url": {"tls": {"secretName": "s"}}}}, "redis.enabled"),
    "a certificate of no Secret": (
        {
            "redis": {
                "enabled": False,
                "url": {"existingSecret": "r", "tls": {"clientCertificate": True}},
            }
        },
        "redis.url.tls.secretName",
    ),
    "nodes unseen": ({"namespaces": ["a"]}, "settings.gpu_budget"),
    "present unseen": (
        {"namespaces": ["a"], "settings": {"gpu_budget": "A100=2, *=present"}},
        "settings.gpu_budget",
    ),
    "a route": ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
    "bounds": (
        {"gateway": {"autoscaling": {"enabled": True, "minReplicas": 9}}},
        "gateway.autoscaling",
    ),
}


class Renders:
    """`render`, once for the same values."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, values: Values | None = None, **how: str) -> list[dict[str, Any]]:
        key = json.dumps([values or {}, how], sort_keys=True)
        if key not in self._known:
            self._known[key] = render(values=values, folder=self._folder, **how)
        return copy.deepcopy(self._known[key])


def only(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)
    return found


def pod_of(document: Mapping[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = document["spec"]["template"]["spec"]
    return pod


def environment(documents: list[dict[str, Any]], component: str) -> dict[str, str]:
    """A container's, as far as it is written in the documents."""
    pod = pod_of(only(documents, "Deployment", f"ebbtide-{component}"))
    (container,) = pod["containers"]
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= only(documents, "ConfigMap", source["configMapRef"]["name"])["data"]
    for each in container["env"]:
        found[each["name"]] = each.get("value", "")
    return found
