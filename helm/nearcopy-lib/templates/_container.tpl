{{/* A native sidecar, for `initContainers`; nothing where `native` is false. */}}
{{- define "nearcopy.sidecar" -}}
{{- include "nearcopy.guard" . -}}
{{- if .Values.nearcopy.native -}}
{{- if semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "nearcopy.native: Kubernetes %s has no native sidecars, 1.29 is the first; set nearcopy.native to false and include nearcopy.container among the containers" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
- name: nearcopy
  restartPolicy: Always
  {{- include "nearcopy.containerSpec" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* A plain container, for `containers`; nothing where `native` is true. */}}
{{- define "nearcopy.container" -}}
{{- include "nearcopy.guard" . -}}
{{- if not .Values.nearcopy.native -}}
- name: nearcopy
  {{- include "nearcopy.containerSpec" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* The container at work, but for its name. */}}
{{- define "nearcopy.containerSpec" -}}
{{- $values := .Values.nearcopy -}}
args: [run]
{{ include "nearcopy.containerBase" . }}
ports:
  - name: nearcopy-admin
    containerPort: {{ include "nearcopy.port" (dict "settings" $values.settings "section" "admin" "default" "9464") }}
  {{- if include "nearcopy.served" . }}
  - name: nearcopy-read
    containerPort: {{ include "nearcopy.port" (dict "settings" $values.settings "section" "read") }}
  {{- end }}
startupProbe:
  httpGet: { path: /startupz, port: nearcopy-admin }
  {{- toYaml $values.probes.startup | nindent 2 }}
{{- if $values.probes.readiness.enabled }}
readinessProbe:
  httpGet: { path: /readyz, port: nearcopy-admin }
  {{- toYaml (omit $values.probes.readiness "enabled") | nindent 2 }}
{{- end }}
livenessProbe:
  httpGet: { path: /livez, port: nearcopy-admin }
  {{- toYaml $values.probes.liveness | nindent 2 }}
{{- end -}}

{{/* What the container at work and the one that checks have in common. */}}
{{- define "nearcopy.containerBase" -}}
{{- $values := .Values.nearcopy -}}
image: {{ include "nearcopy.image" . }}
imagePullPolicy: {{ $values.image.pullPolicy }}
env:
  {{- include "nearcopy.env" . | nindent 2 }}
{{- with $values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml $values.resources | nindent 2 }}
securityContext:
  {{- toYaml $values.securityContext | nindent 2 }}
volumeMounts:
  - name: nearcopy-manifest
    mountPath: /etc/nearcopy/manifest
    readOnly: true
  {{- if include "nearcopy.secretSources" . }}
  - name: nearcopy-secrets
    mountPath: /etc/nearcopy/secrets
    readOnly: true
  {{- end }}
  {{- with $values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "nearcopy.image" -}}
{{- $image := .Values.nearcopy.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Subcharts.nearcopy.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Settings as environment, secret ones as the names of files. */}}
{{- define "nearcopy.env" -}}
- name: NEARCOPY__MANIFEST__PATHS
  value: /etc/nearcopy/manifest
{{- range $section, $keys := .Values.nearcopy.settings }}
{{- range $key, $value := $keys }}
- name: {{ include "nearcopy.variable" (list $section $key) }}
  value: {{ include "nearcopy.text" $value | quote }}
{{- end }}
{{- end }}
{{- range $section, $keys := .Values.nearcopy.secrets }}
{{- range $key, $from := $keys }}
{{- if $from }}
- name: {{ include "nearcopy.variable" (list $section $key) }}_FILE
  value: /etc/nearcopy/secrets/{{ $section }}.{{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.nearcopy.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "nearcopy.variable" -}}
NEARCOPY__{{ join "__" . | upper }}
{{- end -}}

{{/* A value of a setting. Numbers of values are floating ones, and large ones would be written 1.6777216e+07. */}}
{{- define "nearcopy.text" -}}
{{- if kindIs "float64" . }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}

{{/* The port of an address that a setting says: dict "settings" "section" "default". */}}
{{- define "nearcopy.port" -}}
{{- $address := dig .section "listen" "" .settings -}}
{{- if $address }}{{ regexFind "[0-9]+$" $address }}{{ else }}{{ .default }}{{ end -}}
{{- end -}}

{{/* Whether others than the pod can read. */}}
{{- define "nearcopy.served" -}}
{{- $address := dig "read" "listen" "" .Values.nearcopy.settings -}}
{{- if and $address (not (include "nearcopy.isLoopback" $address)) }}true{{ end -}}
{{- end -}}

{{/* Whether the console is on. */}}
{{- define "nearcopy.console" -}}
{{- if has (dig "admin" "console" "off" .Values.nearcopy.settings) (list "read" "act") }}true{{ end -}}
{{- end -}}

{{- define "nearcopy.isLoopback" -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" . }}true{{ end -}}
{{- end -}}
