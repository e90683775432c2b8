{{/* What a schema cannot say: values that do not go together end the rendering, with a word why. */}}
{{- define "ebbtide.mustFit" -}}
{{- $name := include "ebbtide.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "fullnameOverride: a name is wanted, since %q, of the release, is none for a Service: lower-case letters, digits and -, beginning with a letter" $name) -}}
{{- end -}}
{{- $labels := dict "commonLabels" .Values.commonLabels "gateway.podLabels" .Values.gateway.podLabels "autoscaler.podLabels" .Values.autoscaler.podLabels -}}
{{- range $value, $given := $labels -}}
{{- range list "name" "instance" "component" -}}
{{- if hasKey ($given | default dict) (printf "app.kubernetes.io/%s" .) -}}
{{- fail (printf "%s: app.kubernetes.io/%s is one of the labels that select, which are the chart's own" $value .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $budget := dig "gpu_budget" "" (.Values.settings | default dict) | toString -}}
{{- if and .Values.namespaces (or (not $budget) (contains "present" $budget)) -}}
{{- fail "with namespaces, nodes cannot be read: settings.gpu_budget has to say how many GPUs there are, like \"8\" or \"elastic:8\"" -}}
{{- end -}}
{{- if not (or .Values.redis.enabled .Values.redis.url.existingSecret) -}}
{{- fail "redis.enabled is false: redis.url.existingSecret has to name a Secret with the URL of another" -}}
{{- end -}}
{{- if and .Values.redis.enabled (or .Values.redis.url.existingSecret .Values.redis.url.tls.secretName) -}}
{{- fail "redis.url names a Redis of your own, and redis.enabled is true: with it the chart brings another" -}}
{{- end -}}
{{- if and .Values.redis.enabled (not (or .Values.redis.image.tag .Values.redis.image.digest)) -}}
{{- fail "redis.image.tag is empty: it has to name a version, or redis.image.digest what is pulled" -}}
{{- end -}}
{{- if and .Values.redis.url.tls.clientCertificate (not .Values.redis.url.tls.secretName) -}}
{{- fail "redis.url.tls.clientCertificate: redis.url.tls.secretName has to name the Secret that holds it" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled: httpRoute.parentRefs has to name the Gateway it belongs to" -}}
{{- end -}}
{{- if and .Values.gateway.autoscaling.enabled (lt (int .Values.gateway.autoscaling.maxReplicas) (int .Values.gateway.autoscaling.minReplicas)) -}}
{{- fail "gateway.autoscaling: maxReplicas is less than minReplicas" -}}
{{- end -}}
{{- $resources := .Values.gateway.resources | default dict -}}
{{- if and .Values.gateway.autoscaling.enabled (not (or (dig "requests" "cpu" "" $resources) (dig "limits" "cpu" "" $resources))) -}}
{{- fail "gateway.autoscaling aims for a percentage of the requested CPU: gateway.resources.requests.cpu has to say how much that is" -}}
{{- end -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- $other := get $labels "app.kubernetes.io/instance" -}}
{{- if and (regexMatch (printf "^%s-[0-9]" $.Chart.Name) (get $labels "helm.sh/chart")) (ne $other $.Release.Name) -}}
{{- fail (printf "the release %q is in the namespace %s already: the two would share their Leases; install each in a namespace of its own" $other $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
