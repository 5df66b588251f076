package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// manifest is a Deployment as teams write them: about 50 lines, with comments.
func manifest(deployment int, tag string) string {
	return fmt.Sprintf(`# %[1]s: ask the owning team before you change this
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  namespace: default
  labels:
    app.kubernetes.io/name: %[1]s
    app.kubernetes.io/part-of: team-%03[2]d
spec:
  replicas: 2 # one per zone
  selector:
    matchLabels:
      app.kubernetes.io/name: %[1]s
  template:
    metadata:
      labels:
        app.kubernetes.io/name: %[1]s
    spec:
      serviceAccountName: %[1]s
      containers:
        - name: %[1]s
          image: %[3]s:%[4]s
          args: ["--listen", ":8080", "--shard=%[5]d"]
          env:
            - name: LOG_LEVEL
              value: info
            - name: DATABASE_URL
              valueFrom:
                secretKeyRef: {name: %[1]s, key: database-url}
          ports:
            - containerPort: 8080
              name: http
          readinessProbe:
            httpGet:
              path: /health
              port: http
            periodSeconds: 10
          resources:
            requests:
              cpu: 100m
              memory: 128Mi
            limits:
              memory: 256Mi # measured, not guessed
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
      # keep the replicas apart
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: topology.kubernetes.io/zone
          whenUnsatisfiable: ScheduleAnyway
`, appName(deployment), deployment/100, imageName(deployment), tag, deployment)
}

func service(deployment, revision int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata:
  name: %[1]s
  namespace: default
  annotations:
    example.org/revision: "%[2]d"
spec:
  selector:
    app.kubernetes.io/name: %[1]s
  ports:
    - port: 80
      targetPort: http
`, appName(deployment), revision)
}

// tracked is a Deployment that the operator is to bring up to date.
type tracked struct {
	index     int
	manifests string // its manifests repository
}

// writeCluster writes the folder that stands for a cluster: all Deployments in
// one file, which comes closest to an informer's cache, and the key's Secret.
func (st *stage) writeCluster(dir string, deployments []tracked) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var b strings.Builder
	for _, d := range deployments {
		fmt.Fprintf(&b, `apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  namespace: default
  annotations:
    gitops.operator.enabled: "true"
    gitops.operator.app_repository: %[2]s
    gitops.operator.manifest_repository: %[3]s
    gitops.operator.deployment_path: %[4]s
    gitops.operator.image_name: %[5]s
    gitops.operator.ssh_key_name: ssh-key
    gitops.operator.ssh_key_namespace: gitops-operator
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: main, image: "%[5]s:running"}]}
---
`, appName(d.index), appURL(st, d.index), st.server.url(d.manifests), manifestPath(d.index), imageName(d.index))
	}
	secret := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: ssh-key, namespace: gitops-operator}\ndata:\n  ssh-privatekey: %s\n  known_hosts: %s\n",
		base64.StdEncoding.EncodeToString(st.private), base64.StdEncoding.EncodeToString(st.server.KnownHosts))
	if err := os.WriteFile(filepath.Join(dir, "secret.yaml"), []byte(secret), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "deployments.yaml"), []byte(b.String()), 0o600)
}
