{{/*
Made at the first install and kept from then on: `lookup` finds what is there. It finds nothing where the
chart is only rendered; name Secrets of your own there.
*/}}
{{- define "ebbtide.kept" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- if and $found (get ($found.data | default dict) .key) -}}
{{- get $found.data .key -}}
{{- else -}}
{{- randAlphaNum 40 | b64enc -}}
{{- end -}}
{{- end -}}

{{- define "ebbtide.adminSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "ebbtide.fullname" .)) -}}
{{- end -}}

{{- define "ebbtide.adminKey" -}}
{{- if .Values.admin.existingSecret }}{{ .Values.admin.key }}{{ else }}tokens{{ end -}}
{{- end -}}

{{- define "ebbtide.redisSecret" -}}
{{- .Values.redis.existingSecret | default (printf "%s-redis" (include "ebbtide.fullname" .)) -}}
{{- end -}}
