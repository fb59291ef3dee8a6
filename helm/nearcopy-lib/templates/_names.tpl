{{- define "nearcopy.fullname" -}}
{{- if contains "nearcopy" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ .Release.Name | trunc 41 | trimSuffix "-" }}-nearcopy
{{- end -}}
{{- end -}}

{{- define "nearcopy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "nearcopy.selectorLabels" . }}
app.kubernetes.io/version: {{ .Subcharts.nearcopy.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "nearcopy.selectorLabels" -}}
app.kubernetes.io/name: nearcopy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
