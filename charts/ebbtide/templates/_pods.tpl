{{/* What gateway and autoscaler have in common: environment, places, and what a container may not do. */}}

{{/* A value as text: YAML's numbers would come out as 1e+06. */}}
{{- define "ebbtide.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "ebbtide.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "ebbtide.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Apart from each other, by zone and by node, as far as that is possible. */}}
{{- define "ebbtide.spread" -}}
{{- if .values.topologySpreadConstraints -}}
{{- toYaml .values.topologySpreadConstraints -}}
{{- else -}}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" -}}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "ebbtide.selector" $ | nindent 6 }}
{{ end -}}
{{- end -}}
{{- end -}}

{{- define "ebbtide.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Both ask the same Redis, the same namespaces, and hold the admin port behind the same tokens. */}}
{{- define "ebbtide.env" -}}
# The name of a gateway among the others, and where its Lease lies.
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
# Of which family the addresses are that it listens on.
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: EBBTIDE_NAMESPACE
  value: "$(POD_NAMESPACE)"
{{- with .root.Values.namespaces }}
- name: EBBTIDE_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
- name: EBBTIDE_ADMIN_TOKEN_FILE
  value: /etc/ebbtide/admin/{{ include "ebbtide.adminKey" .root }}
{{- if .root.Values.redis.enabled }}
- name: REDIS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "ebbtide.redisSecret" .root | quote }}, key: password}}
- name: EBBTIDE_REDIS_URL
  value: redis://ebbtide:$(REDIS_PASSWORD)@{{ include "ebbtide.fullname" .root }}-redis:6379/0
{{- else }}
- name: EBBTIDE_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ .root.Values.redis.url.existingSecret | quote }}, key: {{ .root.Values.redis.url.key | quote }}}}
{{- end }}
{{- with .root.Values.redis.url.tls }}
{{- if .secretName }}
- {name: EBBTIDE_REDIS_CA, value: /etc/ebbtide/redis-tls/ca.crt}
{{- if .clientCertificate }}
- {name: EBBTIDE_REDIS_CERT, value: /etc/ebbtide/redis-tls/tls.crt}
- {name: EBBTIDE_REDIS_KEY, value: /etc/ebbtide/redis-tls/tls.key}
{{- end }}
{{- end }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The files that both need. */}}
{{- define "ebbtide.mounts" -}}
- {name: admin, mountPath: /etc/ebbtide/admin, readOnly: true}
{{- if .root.Values.redis.url.tls.secretName }}
- {name: redis-tls, mountPath: /etc/ebbtide/redis-tls, readOnly: true}
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ebbtide.volumes" -}}
- {name: admin, secret: {secretName: {{ include "ebbtide.adminSecret" .root | quote }}}}
{{- with .root.Values.redis.url.tls.secretName }}
- {name: redis-tls, secret: {secretName: {{ . | quote }}}}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ebbtide.envFrom" -}}
- configMapRef:
    name: {{ include "ebbtide.fullname" .root }}-settings
{{- end -}}

{{/* New settings are a new pod; a new Secret that the chart made is not: files are read again. */}}
{{- define "ebbtide.podAnnotations" -}}
checksum/settings: {{ include (print .root.Template.BasePath "/settings.yaml") .root | sha256sum | trunc 16 }}
{{- with .values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ebbtide.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
{{- end -}}
