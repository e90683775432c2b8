{{/* What a schema cannot say: values that do not go together end the rendering, with a word why. */}}
{{- define "ebbtide.mustFit" -}}
{{- $budget := get .Values.settings "gpu_budget" | default "" | toString -}}
{{- if and .Values.namespaces (or (not $budget) (contains "present" $budget)) -}}
{{- fail "with namespaces, nodes cannot be read: settings.gpu_budget has to say how many GPUs there are, like \"8\" or \"elastic:8\"" -}}
{{- end -}}
{{- if not (or .Values.redis.enabled .Values.redis.url.existingSecret) -}}
{{- fail "redis.enabled is false: redis.url.existingSecret has to name a Secret with the URL of another" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled: httpRoute.parentRefs has to name the Gateway it belongs to" -}}
{{- end -}}
{{- if and .Values.gateway.autoscaling.enabled (lt (int .Values.gateway.autoscaling.maxReplicas) (int .Values.gateway.autoscaling.minReplicas)) -}}
{{- fail "gateway.autoscaling: maxReplicas is less than minReplicas" -}}
{{- end -}}
{{- end -}}
