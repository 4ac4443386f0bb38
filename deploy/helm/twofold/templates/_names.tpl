{{- define "twofold.labels" -}}
app.kubernetes.io/name: twofold
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "twofold.name" -}}
{{ printf "%s-twofold" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "twofold.claim" -}}
{{ .Values.project.existingClaim | default (printf "%s-project" (include "twofold.name" .)) }}
{{- end }}

{{/* Pods that run the image write nothing but these; what is shared lies in bucket and database. */}}
{{- define "twofold.restricted" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Only where the owner is another: else each start would walk the whole index.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "twofold.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: ["ALL"]}
{{- end }}

{{/* Secrets as environment variables, by reference. */}}
{{- define "twofold.secrets" -}}
{{- with .Values.environmentFromSecrets }}
envFrom:
{{- range . }}
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
{{- if .Values.database.passwordSecret }}
env:
  - name: {{ .Values.database.variable }}
    valueFrom:
      secretKeyRef: {name: {{ .Values.database.passwordSecret }}, key: {{ .Values.database.passwordKey }}}
{{- end }}
{{- end }}

{{/* What the server's and the jobs' pods have in common; a dict with `root` and `job`. */}}
{{- define "twofold.pod" -}}
{{- $v := .root.Values -}}
{{ include "twofold.restricted" .root }}
{{- with $v.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
{{- if $v.cluster.enabled }}
  # Of this pod alone, and gone with it.
  - name: project
    emptyDir: {}
  - name: settings
    configMap: {name: {{ include "twofold.name" .root }}-settings}
{{- else }}
  - name: project
    persistentVolumeClaim: {claimName: {{ include "twofold.claim" .root }}}
{{- end }}
  - name: tmp
    emptyDir: {}
  - name: cache
    emptyDir: {}
{{- with $v.models.existingClaim }}
  - name: models
    persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "twofold.container" -}}
{{- $v := .root.Values -}}
image: "{{ $v.image.repository }}:{{ $v.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ $v.image.pullPolicy }}
workingDir: /project
{{ include "twofold.confined" .root }}
{{- with include "twofold.secrets" .root }}
{{ . }}
{{- end }}
volumeMounts:
  - {name: project, mountPath: /project}
{{- if $v.cluster.enabled }}
  - {name: settings, mountPath: /project/twofold.toml, subPath: twofold.toml, readOnly: true}
{{- end }}
  - {name: tmp, mountPath: /tmp}
  - {name: cache, mountPath: /cache}
{{- if $v.models.existingClaim }}
  - {name: models, mountPath: /models, readOnly: true}
{{- end }}
{{- end }}
