{{/* Refuses what no schema can say, with advice. */}}
{{- define "nearcopy.guard" -}}
{{- if not (and .Subcharts.nearcopy (kindIs "map" .Values.nearcopy)) -}}
{{- fail "nearcopy: declare the dependency nearcopy-lib with `alias: nearcopy`" -}}
{{- end -}}
{{- include "nearcopy.guardManifest" . -}}
{{- include "nearcopy.guardSecrets" . -}}
{{- include "nearcopy.guardListeners" . -}}
{{- with .Values.nearcopy.image -}}
{{- if and (eq .tag "latest") (not .digest) -}}
{{- fail "nearcopy.image.tag: `latest` is another image each day; name a version or a digest" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nearcopy.guardManifest" -}}
{{- $given := list -}}
{{- range $way, $value := .Values.nearcopy.manifest -}}
{{- if $value -}}{{- $given = append $given (printf "nearcopy.manifest.%s" $way) -}}{{- end -}}
{{- end -}}
{{- if not $given -}}
{{- fail "nearcopy.manifest: say what is replicated, by one of files, inline, text or configMap" -}}
{{- else if gt (len $given) 1 -}}
{{- fail (printf "nearcopy.manifest: %s are given; leave one of them" (join " and " $given)) -}}
{{- end -}}
{{- with .Values.nearcopy.manifest.inline -}}
{{- if not .service -}}{{- fail "nearcopy.manifest.inline: has no service" -}}{{- end -}}
{{- end -}}
{{- $manifest := include "nearcopy.manifest" . -}}
{{- if and .Values.nearcopy.manifest.files (not $manifest) -}}
{{- fail (printf "nearcopy.manifest.files: %s matches no file of the chart %s" (join ", " .Values.nearcopy.manifest.files) .Chart.Name) -}}
{{- end -}}
{{- if gt (len $manifest) 1000000 -}}
{{- fail "nearcopy.manifest: more than 1 MB does not fit into a ConfigMap; mount it by extraVolumes, or leave parts out" -}}
{{- end -}}
{{- end -}}

{{/* A setting is given once; and where the database is must be said. */}}
{{- define "nearcopy.guardSecrets" -}}
{{- $values := .Values.nearcopy -}}
{{- $extra := list -}}
{{- range $values.extraEnv -}}{{- $extra = append $extra (.name | trimSuffix "_FILE") -}}{{- end -}}
{{- range $section, $keys := $values.settings -}}
{{- range $key, $_ := $keys -}}
{{- if has (include "nearcopy.variable" (list $section $key)) $extra -}}
{{- fail (printf "nearcopy.settings.%s.%s: is given by extraEnv, too; leave one of them" $section $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $section, $keys := $values.secrets -}}
{{- range $key, $from := $keys -}}
{{- $place := printf "nearcopy.secrets.%s.%s" $section $key -}}
{{- if and $from.value $from.secret -}}
{{- fail (printf "%s: has a value and names a Secret; leave one of them" $place) -}}
{{- else if and $from (has (include "nearcopy.variable" (list $section $key)) $extra) -}}
{{- fail (printf "%s: is given by extraEnv, too; leave one of them" $place) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $section := include "nearcopy.needed" . | splitList " " -}}
{{- $variable := include "nearcopy.variable" (list $section "url") -}}
{{- if not (or (dig $section "url" (dict) $values.secrets) (has $variable $extra) $values.extraEnvFrom) -}}
{{- fail (printf "nearcopy.secrets.%s.url: is needed, as { secret: NAME, key: KEY } or { value: … }; or %s in extraEnv" $section $variable) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whose URLs are needed: the broker's unless a manifest that is known here has nothing but feeds, and tells nobody. */}}
{{- define "nearcopy.needed" -}}
{{- $manifest := include "nearcopy.manifest" . -}}
{{- if or (not $manifest) (regexMatch "\\b(rabbitmq|stream|emit)\\b\\s*:" $manifest) }}rabbitmq {{ end }}mongodb
{{- end -}}

{{- define "nearcopy.guardListeners" -}}
{{- $values := .Values.nearcopy -}}
{{- $admin := dig "admin" "listen" "" $values.settings -}}
{{- if include "nearcopy.isLoopback" $admin -}}
{{- fail (printf "nearcopy.settings.admin.listen: %s is loopback, where the kubelet's probes do not come; say 0.0.0.0 and a port" $admin) -}}
{{- end -}}
{{- if and (include "nearcopy.console" .) (not (include "nearcopy.hasToken" (list . "admin"))) -}}
{{- fail "nearcopy.settings.admin.console: whoever opens the console must be known, since the pod's network reaches it: give nearcopy.secrets.admin.token" -}}
{{- end -}}
{{- if include "nearcopy.served" . -}}
{{- if not (or (include "nearcopy.hasToken" (list . "read")) (dig "read" "tls_client_ca" "" $values.settings)) -}}
{{- fail (printf "nearcopy.settings.read.listen: %s is open to others than this pod, so readers must be known: give nearcopy.secrets.read.token, or listen on 127.0.0.1" $values.settings.read.listen) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether a token is given, or may be: list . section. */}}
{{- define "nearcopy.hasToken" -}}
{{- $values := (index . 0).Values.nearcopy -}}
{{- $section := index . 1 -}}
{{- $known := or (index $values.secrets $section).token $values.extraEnvFrom -}}
{{- range $values.extraEnv -}}
{{- if hasPrefix (printf "NEARCOPY__%s__TOKEN" (upper $section)) .name -}}{{- $known = true -}}{{- end -}}
{{- end -}}
{{- if $known }}true{{ end -}}
{{- end -}}
