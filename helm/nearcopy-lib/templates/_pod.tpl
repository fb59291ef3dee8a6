{{/* The volumes of a pod with nearcopy. */}}
{{- define "nearcopy.volumes" -}}
{{- $values := .Values.nearcopy -}}
- name: nearcopy-manifest
  configMap:
    name: {{ $values.manifest.configMap | default (printf "%s-manifest" (include "nearcopy.fullname" .)) }}
{{- with include "nearcopy.secretSources" . }}
- name: nearcopy-secrets
  projected:
    defaultMode: 292 # 0444: the container's user is not root
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where secret settings come from, as the sources of one volume. */}}
{{- define "nearcopy.secretSources" -}}
{{- $own := printf "%s-secrets" (include "nearcopy.fullname" .) -}}
{{- range $section, $keys := .Values.nearcopy.secrets -}}
{{- range $key, $from := $keys -}}
{{- if $from }}
- secret:
    name: {{ $from.secret | default $own }}
    items:
      - key: {{ $from.key | default (printf "%s.%s" $section $key) }}
        path: {{ $section }}.{{ $key }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What has a pod start anew once its manifest or a secret of this chart has changed. */}}
{{- define "nearcopy.podAnnotations" -}}
checksum/nearcopy: {{ printf "%s%s" (include "nearcopy.manifest" .) (toJson .Values.nearcopy.secrets) | sha256sum }}
{{- end -}}

{{/* A pod that says whether all is as nearcopy needs it: `helm test`. */}}
{{- define "nearcopy.check" -}}
{{- include "nearcopy.guard" . -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "nearcopy.fullname" . }}-check
  labels:
    {{- include "nearcopy.labels" . | nindent 4 }}
    app.kubernetes.io/component: check
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext: { runAsNonRoot: true, seccompProfile: { type: RuntimeDefault } }
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: check
      args: [check, --online]
      {{- include "nearcopy.containerBase" . | nindent 6 }}
  volumes:
    {{- include "nearcopy.volumes" . | nindent 4 }}
{{- end -}}
