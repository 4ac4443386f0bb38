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

{{/* What the server's and the jobs' pods have in common; a dict with `root` and `job`. */}}
{{- define "twofold.pod" -}}
{{- $v := .root.Values -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Only where the owner is another: else each start would walk the whole index.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $v.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: project
    persistentVolumeClaim: {claimName: {{ include "twofold.claim" .root }}}
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
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: ["ALL"]}
{{- with $v.environmentFromSecrets }}
envFrom:
{{- range . }}
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
{{- if $v.database.passwordSecret }}
env:
  - name: {{ $v.database.variable }}
    valueFrom:
      secretKeyRef: {name: {{ $v.database.passwordSecret }}, key: {{ $v.database.passwordKey }}}
{{- end }}
volumeMounts:
  - {name: project, mountPath: /project}
  - {name: tmp, mountPath: /tmp}
  - {name: cache, mountPath: /cache}
{{- if $v.models.existingClaim }}
  - {name: models, mountPath: /models, readOnly: true}
{{- end }}
{{- end }}
