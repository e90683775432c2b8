{{/*
What gateway and autoscaler may ask of the API server, and what each verb is for. Nothing here reads a Secret,
a ConfigMap or a pod's log. tests/kube takes every verb away in turn and shows what then breaks.
*/}}

{{/* In every namespace that is looked after: both see the same fleet. */}}
{{- define "ebbtide.rules.seeing" -}}
- apiGroups: [apps]
  resources: [deployments]
  verbs:
    - list # what is registered, at the start and whenever a watch has run out
    - watch # annotations and replicas that change, deleted Deployments, the leader's drain marks
- apiGroups: [""]
  resources: [pods]
  verbs:
    - list # replicas and their addresses; all pods, since others hold GPUs too
    - watch # a replica that gets its address, or is deleted
- apiGroups: [""]
  resources: [events]
  verbs:
    - list # why a pod does not run: no room, no volume, no node to come
    - watch # the same, while somebody waits
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs:
    - list # a second writer: its Deployment is routed to, never scaled
    - watch # one that comes or goes
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs:
    - list # as above
    - watch # as above
{{- end -}}

{{/* Of the whole cluster; with `namespaces` this is left out, and a setting says how many GPUs there are. */}}
{{- define "ebbtide.rules.nodes" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs:
    - list # GPUs by node and class
    - watch # nodes that come and go
{{- end -}}

{{- define "ebbtide.rules.gateway" -}}
{{ include "ebbtide.rules.seeing" . }}
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs:
    - patch # wakes a sleeping model; an admission policy holds it to 0 -> 1
- apiGroups: [""]
  resources: [events]
  verbs:
    - create # says at the Deployment that it woke it
{{- end -}}

{{- define "ebbtide.rules.autoscaler" -}}
{{ include "ebbtide.rules.seeing" . }}
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs:
    - patch # the number of replicas, as decided
- apiGroups: [apps]
  resources: [deployments]
  verbs:
    - patch # the drain mark; an admission policy holds it to ebbtide.dev/ annotations
- apiGroups: [""]
  resources: [pods]
  verbs:
    - patch # the deletion cost, and nothing else by the same policy: who goes first
- apiGroups: [""]
  resources: [events]
  verbs:
    - create # what happened to a model, where its owner looks for it
{{- end -}}

{{/* In ebbtide's own namespace. */}}
{{- define "ebbtide.rules.own.gateway" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs:
    - create # its own Lease, by which it is a member
    - get # whether that is there already, from a former process of its name
    - update # that it is still there
{{- end -}}

{{- define "ebbtide.rules.own.autoscaler" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs:
    - create # the leader's Lease, the first time
    - get # who leads
    - list # the gateways there are, before replicas are taken away
    - watch # gateways that come
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [ebbtide-autoscaler]
  verbs:
    - update # leads, goes on leading, steps down
- apiGroups: [""]
  resources: [pods]
  verbs:
    - get # whether a silent gateway's pod is gone
{{- end -}}
