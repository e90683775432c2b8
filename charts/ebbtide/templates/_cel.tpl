{{/*
CEL that the admission policies say more than once. Quantities are read as fleet/quantities.py reads them;
`v` is the text, trimmed.
*/}}

{{- define "ebbtide.cel.digits" -}}[0-9]{1,18}([.][0-9]{1,18})?{{- end -}}

{{- define "ebbtide.cel.seconds" -}}
(v.matches('^{{ include "ebbtide.cel.digits" . }}$') ? double(v)
  : v.findAll('[0-9.]+[a-z]+').map(p,
      p.endsWith('ms') ? double(p.replace('ms', '')) * 0.001
      : p.endsWith('s') ? double(p.replace('s', ''))
      : p.endsWith('m') ? double(p.replace('m', '')) * 60.0
      : p.endsWith('h') ? double(p.replace('h', '')) * 3600.0
      : double(p.replace('d', '')) * 86400.0).sum())
{{- end -}}

{{/* A duration of up to a year; `over`: a comparison that its seconds must pass too. */}}
{{- define "ebbtide.cel.duration" -}}
(v.matches('^({{ include "ebbtide.cel.digits" . }}|({{ include "ebbtide.cel.digits" . }}(ms|s|m|h|d))+)$')
  && [{{ include "ebbtide.cel.seconds" . }}].all(s, s <= 31622400.0{{ with .over }} && s {{ . }}{{ end }}))
{{- end -}}

{{/* A size of at least a byte. */}}
{{- define "ebbtide.cel.bytes" -}}
(v.matches('^{{ include "ebbtide.cel.digits" . }}(k|M|G|T|Ki|Mi|Gi|Ti)?$')
  && double(v.find('^[0-9.]+')) * (v.endsWith('Ki') ? 1024.0
    : v.endsWith('Mi') ? 1048576.0
    : v.endsWith('Gi') ? 1073741824.0
    : v.endsWith('Ti') ? 1099511627776.0
    : v.endsWith('k') ? 1000.0
    : v.endsWith('M') ? 1000000.0
    : v.endsWith('G') ? 1000000000.0
    : v.endsWith('T') ? 1000000000000.0 : 1.0) >= 1.0)
{{- end -}}

{{/* The check of one row of files/annotations.yaml. */}}
{{- define "ebbtide.cel.check" -}}
{{- with .or }}(v == '{{ . }}' || {{ end -}}
{{- if hasKey . "cel" }}{{ .cel }}
{{- else if hasKey . "words" }}v in ['{{ join "', '" .words }}']
{{- else if hasKey . "whole" }}(v.matches('^[+-]?[0-9]{1,18}$') && int(v) >= {{ index .whole 0 | int64 }} && int(v) <= {{ index .whole 1 | int64 }})
{{- else if hasKey . "duration" }}{{ include "ebbtide.cel.duration" (dict "over" .duration) }}
{{- else if hasKey . "bytes" }}{{ include "ebbtide.cel.bytes" . }}
{{- else if hasKey . "number" }}v.matches('^{{ include "ebbtide.cel.digits" . }}$')
{{- end -}}
{{- if .or }}){{ end -}}
{{- end -}}

{{- define "ebbtide.cel.said" -}}
{{- if .said }}{{ .said }}
{{- else -}}
{{- with .or }}{{ . }}, or {{ end -}}
{{- if hasKey . "words" }}one of {{ join ", " .words }}
{{- else if hasKey . "whole" }}a whole number from {{ index .whole 0 | int64 }} to {{ index .whole 1 | int64 }}
{{- else if hasKey . "duration" }}a duration of up to a year: plain seconds or like 90s, 5m, 1h30m
{{- else if hasKey . "bytes" }}a size over 0: plain bytes or like 64Mi, 1Gi, 500k
{{- else if hasKey . "number" }}a number of 0 or more
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A list of one complaint: key, value (on one line, cut at 80), and `said` (CEL), what is allowed. */}}
{{- define "ebbtide.cel.wrong" -}}
['ebbtide.dev/{{ .key }}: ' + [variables.notes['ebbtide.dev/{{ .key }}']].map(t,
  "'" + (size(t) > 80 ? t.substring(0, 77) + '...' : t).replace('\n', '\\n').replace('\r', '\\r') + "'")[0]
  + ': ' + {{ .said }}]
{{- end -}}

{{/* That an update leaves all as it was but annotations whose key `k` the given expression is true of. */}}
{{- define "ebbtide.cel.onlyAnnotations" -}}
object.spec == oldObject.spec
&& (has(object.metadata.labels) ? object.metadata.labels : {}) == (has(oldObject.metadata.labels) ? oldObject.metadata.labels : {})
&& (has(object.metadata.finalizers) ? object.metadata.finalizers : []) == (has(oldObject.metadata.finalizers) ? oldObject.metadata.finalizers : [])
&& (has(object.metadata.ownerReferences) ? object.metadata.ownerReferences : []) == (has(oldObject.metadata.ownerReferences) ? oldObject.metadata.ownerReferences : [])
&& [has(object.metadata.annotations) ? object.metadata.annotations : {}].all(now,
     [has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {}].all(old,
       now.all(k, {{ . }} || (k in old && old[k] == now[k]))
       && old.all(k, {{ . }} || k in now)))
{{- end -}}

{{/* Whether the token that is used is bound to a pod, as those are that pods are given. */}}
{{- define "ebbtide.cel.fromPod" -}}
has(request.userInfo.extra) && 'authentication.kubernetes.io/pod-name' in request.userInfo.extra
{{- end -}}

{{/* That a Lease is that of this pod, by its name and by whom it says it is of. */}}
{{- define "ebbtide.cel.ownLease" -}}
has(object.metadata.annotations) && 'ebbtide.dev/gateway' in object.metadata.annotations
&& request.userInfo.extra['authentication.kubernetes.io/pod-name'].all(pod,
     object.metadata.name == 'ebbtide-gateway-pod-' + pod
     && object.metadata.annotations['ebbtide.dev/gateway'] == request.namespace + '/' + pod)
{{- end -}}

{{/* That an Event is, and was, told by this component, and is about a Deployment. */}}
{{- define "ebbtide.cel.ownEvent" -}}
[object, oldObject].all(event, event == null
  || (has(event.reportingController) && event.reportingController == 'ebbtide.dev/{{ . }}'
    && has(event.regarding) && has(event.regarding.kind) && event.regarding.kind == 'Deployment'))
{{- end -}}

{{/* Whether a Deployment gets a drain mark, or another than it has; not: whether it loses it. An empty one is
none: it is what a drain leaves, and `kubectl rollout undo` brings it back from a ReplicaSet. */}}
{{- define "ebbtide.cel.marks" -}}
has(object.metadata.annotations) && 'ebbtide.dev/draining' in object.metadata.annotations
&& object.metadata.annotations['ebbtide.dev/draining'] != ''
&& !(oldObject != null && has(oldObject.metadata.annotations)
  && 'ebbtide.dev/draining' in oldObject.metadata.annotations
  && oldObject.metadata.annotations['ebbtide.dev/draining'] == object.metadata.annotations['ebbtide.dev/draining'])
{{- end -}}
