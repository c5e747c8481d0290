{{- define "consuldns.labels" -}}
app.kubernetes.io/name: consuldns
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "consuldns.selector" -}}
app.kubernetes.io/name: consuldns
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "consuldns.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "consuldns.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "consuldns.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Arguments: root, token (a secretName and secretKey). */}}
{{- define "consuldns.env" -}}
- name: HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
- name: CONSUL_HTTP_ADDR
  value: {{ .root.Values.consul.address | quote }}
{{- if .token.secretName }}
- name: CONSUL_HTTP_TOKEN_FILE
  value: /etc/consuldns-token/{{ .token.secretKey }}
{{- end }}
{{- if .root.Values.consul.caSecret.secretName }}
- name: CONSUL_CACERT
  value: /etc/consuldns-ca/{{ .root.Values.consul.caSecret.secretKey }}
{{- end }}
{{- end }}

{{- define "consuldns.syncEnv" -}}
{{- $sync := .Values.syncCatalog }}
- name: CONSULDNS_SYNC_CLUSTER
  value: {{ $sync.clusterName | quote }}
- name: CONSULDNS_SYNC_DEFAULT
  value: {{ $sync.default | quote }}
{{- if not (has "*" $sync.k8sAllowNamespaces) }}
- name: CONSULDNS_SYNC_ALLOW_NAMESPACES
  value: {{ join "," $sync.k8sAllowNamespaces | quote }}
{{- end }}
{{- if $sync.k8sDenyNamespaces }}
- name: CONSULDNS_SYNC_DENY_NAMESPACES
  value: {{ join "," $sync.k8sDenyNamespaces | quote }}
{{- end }}
{{- if $sync.consulPrefix }}
- name: CONSULDNS_SYNC_PREFIX
  value: {{ $sync.consulPrefix | quote }}
{{- end }}
{{- if $sync.k8sTag }}
- name: CONSULDNS_SYNC_TAG
  value: {{ $sync.k8sTag | quote }}
{{- end }}
- name: CONSULDNS_SYNC_MODE
  value: {{ $sync.mode | quote }}
{{- if not $sync.syncClusterIPServices }}
- name: CONSULDNS_SYNC_TYPES
  value: "NodePort,LoadBalancer,ExternalName"
{{- end }}
- name: CONSULDNS_SYNC_LOAD_BALANCER_ENDPOINTS
  value: {{ $sync.syncLoadBalancerEndpoints | quote }}
- name: CONSULDNS_SYNC_NODE_PORT_ADDRESSES
  value: {{ get (dict "ExternalOnly" "external-only" "InternalOnly" "internal-only" "ExternalFirst" "external-first") $sync.nodePortSyncType | quote }}
{{- if $sync.ingress.enabled }}
- name: CONSULDNS_SYNC_INGRESS
  value: {{ ternary "address" "host" $sync.ingress.loadBalancerIPs | quote }}
{{- end }}
{{- end }}

{{- /* Arguments: root, token. */}}
{{- define "consuldns.volumeMounts" -}}
- name: settings
  mountPath: /etc/consuldns
  readOnly: true
{{- if .token.secretName }}
- name: token
  mountPath: /etc/consuldns-token
  readOnly: true
{{- end }}
{{- if .root.Values.consul.caSecret.secretName }}
- name: ca
  mountPath: /etc/consuldns-ca
  readOnly: true
{{- end }}
{{- end }}

{{- define "consuldns.volumes" -}}
- name: settings
  configMap:
    name: {{ .root.Release.Name }}-settings
{{- if .token.secretName }}
- name: token
  secret:
    secretName: {{ .token.secretName }}
{{- end }}
{{- if .root.Values.consul.caSecret.secretName }}
- name: ca
  secret:
    secretName: {{ .root.Values.consul.caSecret.secretName }}
{{- end }}
{{- end }}

{{- define "consuldns.probes" -}}
startupProbe:
  httpGet: {path: /health, port: admin}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /health, port: admin}
readinessProbe:
  httpGet: {path: /ready, port: admin}
  periodSeconds: 5
{{- end }}

{{- define "consuldns.isEmbedded" -}}
{{- if and .Values.syncCatalog.enabled .Values.syncCatalog.embedded }}true{{ end }}
{{- end }}
