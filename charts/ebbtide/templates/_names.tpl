{{/* Names, labels and images: what every template says the same way. */}}

{{- define "ebbtide.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left for "-autoscaler" and the hash that a ReplicaSet adds. */}}
{{- define "ebbtide.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "ebbtide.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "ebbtide.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* For what belongs to the whole cluster: two releases in two namespaces may have one name. */}}
{{- define "ebbtide.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "ebbtide.fullname" .) -}}
{{- end -}}

{{- define "ebbtide.account" -}}
{{- printf "%s-%s" (include "ebbtide.fullname" .root) .component -}}
{{- end -}}

{{/* How the API server calls a service account of ours. */}}
{{- define "ebbtide.username" -}}
{{- printf "system:serviceaccount:%s:%s" .root.Release.Namespace (include "ebbtide.account" .) -}}
{{- end -}}

{{/* Labels that select: they never change over the life of a release. */}}
{{- define "ebbtide.selector" -}}
app.kubernetes.io/name: {{ include "ebbtide.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Those, `more` and commonLabels; a key once: some readers of YAML refuse it twice. */}}
{{- define "ebbtide.labels" -}}
{{- $own := include "ebbtide.selector" . | fromYaml -}}
{{- $chart := dict
  "app.kubernetes.io/version" (.root.Chart.AppVersion | replace "+" "_")
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_")
-}}
{{- merge $own (.more | default dict) (.root.Values.commonLabels | default dict) $chart | toYaml -}}
{{- end -}}

{{- define "ebbtide.image" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .default $image.tag) -}}
{{- end -}}
{{- end -}}
