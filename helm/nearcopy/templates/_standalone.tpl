{{/* The pods that replicate, and not the one that checks. */}}
{{- define "standalone.selectorLabels" -}}
{{ include "nearcopy.selectorLabels" . }}
app.kubernetes.io/component: standalone
{{- end -}}

{{- define "standalone.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "nearcopy.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "standalone.spread" -}}
{{- if .Values.topologySpreadConstraints -}}
{{ toYaml .Values.topologySpreadConstraints }}
{{- else -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "standalone.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end -}}

{{/* The kubelet kills at its end; nearcopy gives up at that of its own, which must come first. */}}
{{- define "standalone.gracePeriod" -}}
{{- $grace := dig "shutdown" "grace" "10s" .Values.nearcopy.settings -}}
{{- $unit := regexFind "[a-z]+$" $grace -}}
{{- $factor := get (dict "ms" 0.001 "s" 1 "m" 60 "h" 3600 "d" 86400) $unit -}}
{{- if le (float64 .Values.terminationGracePeriodSeconds) (mulf (float64 (regexFind "^[0-9]+" $grace)) $factor) -}}
{{- fail (printf "terminationGracePeriodSeconds: %v s are not more than nearcopy.settings.shutdown.grace, %s; pods would be killed before their work has ended" .Values.terminationGracePeriodSeconds $grace) -}}
{{- end -}}
{{ .Values.terminationGracePeriodSeconds }}
{{- end -}}
