{{/* All that goes with the container: what it mounts, and what watches it. */}}
{{- define "nearcopy.resources" -}}
{{- include "nearcopy.guard" . -}}
{{- range list "nearcopy.configMap" "nearcopy.secret" "nearcopy.podMonitor" "nearcopy.alerts" "nearcopy.dashboard" }}
{{- with include . $ }}
---
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "nearcopy.configMap" -}}
{{- if not .Values.nearcopy.manifest.configMap -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "nearcopy.fullname" . }}-manifest
  labels:
    {{- include "nearcopy.labels" . | nindent 4 }}
data:
  {{- include "nearcopy.manifest" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* The files of the manifest, as the data of a ConfigMap. */}}
{{- define "nearcopy.manifest" -}}
{{- $manifest := .Values.nearcopy.manifest -}}
{{- $files := dict -}}
{{- range $pattern := $manifest.files -}}
{{- range $path, $bytes := $.Files.Glob $pattern -}}
{{- if not (regexMatch "\\.test\\.ya?ml$" $path) -}}
{{- $_ := set $files (base $path) (toString $bytes) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $manifest.text -}}{{- $_ := set $files "nearcopy.yaml" . -}}{{- end -}}
{{- with $manifest.inline -}}{{- $_ := set $files "nearcopy.yaml" (include "nearcopy.inline" . ) -}}{{- end -}}
{{- if $files }}{{ toYaml $files }}{{ end -}}
{{- end -}}

{{/* A manifest of values. Helm reads the key `on`, where it is not quoted, as `true`. */}}
{{- define "nearcopy.inline" -}}
{{- $manifest := deepCopy . -}}
{{- range $part := list "replicas" "read_models" -}}
{{- range $declared := dig $part (dict) $manifest -}}
{{- if hasKey $declared "true" -}}
{{- $_ := set $declared "on" (get $declared "true") -}}
{{- $_ := unset $declared "true" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $manifest -}}
{{- end -}}

{{- define "nearcopy.secret" -}}
{{- $data := dict -}}
{{- range $section, $keys := .Values.nearcopy.secrets -}}
{{- range $key, $from := $keys -}}
{{- with $from.value -}}{{- $_ := set $data (printf "%s.%s" $section $key) (b64enc .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $data -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ include "nearcopy.fullname" . }}-secrets
  labels:
    {{- include "nearcopy.labels" . | nindent 4 }}
type: Opaque
data:
  {{- toYaml $data | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "nearcopy.podMonitor" -}}
{{- with .Values.nearcopy.podMonitor -}}
{{- if .enabled -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ include "nearcopy.fullname" $ }}
  labels:
    {{- include "nearcopy.labels" $ | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- toYaml (.selector | default (dict "app.kubernetes.io/instance" $.Release.Name)) | nindent 6 }}
  podMetricsEndpoints:
    - port: nearcopy-admin
      path: /metrics
      interval: {{ .interval }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nearcopy.alerts" -}}
{{- with .Values.nearcopy.alerts -}}
{{- if .enabled -}}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ include "nearcopy.fullname" $ }}
  labels:
    {{- include "nearcopy.labels" $ | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- $.Subcharts.nearcopy.Files.Get "files/alerts.yaml" | replace "RUNBOOK" .runbook | nindent 2 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nearcopy.dashboard" -}}
{{- with .Values.nearcopy.dashboard -}}
{{- if .enabled -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "nearcopy.fullname" $ }}-dashboard
  labels:
    {{- include "nearcopy.labels" $ | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
data:
  nearcopy.json: |
    {{- $.Subcharts.nearcopy.Files.Get "files/dashboard.json" | nindent 4 }}
{{- end -}}
{{- end -}}
{{- end -}}
