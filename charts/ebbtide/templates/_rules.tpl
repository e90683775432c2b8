{{/*
What gateway and autoscaler may ask of the API server, and what each verb is for: what fleet/kubernetes/permissions.py
lists. Nothing here reads a Secret, a ConfigMap or a pod's log. tests/kube holds the two together, and takes
every verb away in turn to show what then breaks.
*/}}

{{/* In every namespace that is looked after; both see the same fleet. */}}
{{- define "ebbtide.rules.seeing" -}}
- apiGroups: [apps]
  resources: [deployments]
  verbs:
    - list # what is registered, at the start and whenever a watch has run out
    - watch # annotations and replicas that change, Deployments that go, the leader's drain marks
- apiGroups: [apps]
  resources: [replicasets]
  verbs:
    - list # which pods are of which edition of a Deployment
    - watch # a rollout that begins or ends
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
    - list # who else scales a Deployment, which is then left to them
    - watch # one that comes or goes
{{- if .Values.rbac.keda }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs:
    - list # who else scales a Deployment, which is then left to them
    - watch # one that comes or goes
{{- end }}
{{- end -}}

{{/* Of the whole cluster. With `namespaces` these are left out, and a setting says how many GPUs there are. */}}
{{- define "ebbtide.rules.cluster" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs:
    - list # the GPUs, by node and class
    - watch # nodes that come and go
{{- end -}}

{{- define "ebbtide.rules.models.gateway" -}}
{{ include "ebbtide.rules.seeing" . }}
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs:
    - patch # wakes a sleeping model; an admission policy holds it to 0 -> 1
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs:
    - create # says at the Deployment that it woke it
    - patch # says it again
{{- end -}}

{{- define "ebbtide.rules.models.autoscaler" -}}
{{ include "ebbtide.rules.seeing" . }}
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs:
    - patch # the replicas, as decided
- apiGroups: [apps]
  resources: [deployments]
  verbs:
    - patch # marks who is to be drained; an admission policy holds it to ebbtide.dev/ annotations
- apiGroups: [""]
  resources: [pods]
  verbs:
    - patch # who goes first: the deletion cost, and nothing else by another such policy
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs:
    - create # what happened to a model, at its Deployment
    - patch # that it happened again
{{- end -}}

{{/* In ebbtide's own namespace. */}}
{{- define "ebbtide.rules.own.gateway" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs:
    - create # its own Lease, by which it is a member; admission policies keep it off the leader's, and others'
    - get # whether that is there, from a process before it
    - update # that it is still there
{{- end -}}

{{- define "ebbtide.rules.own.autoscaler" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs:
    - create # the leader's Lease, the first time
    - list # the gateways that must be heard
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [ebbtide-autoscaler]
  verbs:
    - get # who leads
    - update # leads, goes on leading, steps down
- apiGroups: [""]
  resources: [pods]
  verbs:
    - get # whether a silent gateway's pod is gone
{{- end -}}
