package patcher

import (
	"bytes"
	"fmt"
	"testing"
)

// manifest writes Deployments until there are so many lines. The first one has
// the image kainlite/blog.
func manifest(lines int) []byte {
	var b bytes.Buffer
	for i := 0; bytes.Count(b.Bytes(), []byte("\n")) < lines; i++ {
		image := "kainlite/blog"
		if i > 0 {
			image = fmt.Sprintf("kainlite/app-%d", i)
		}
		fmt.Fprintf(&b, `---
# Application %[1]d
apiVersion: apps/v1
kind: Deployment
metadata:
  name: app-%[1]d
  namespace: default
  labels:
    app: app-%[1]d
spec:
  replicas: 2
  selector:
    matchLabels:
      app: app-%[1]d
  template:
    metadata:
      labels:
        app: app-%[1]d
    spec:
      containers:
        - name: app
          image: %[2]s:3c0a88249fb61a0a4f4a65295f42b2dee3963c28 # set by the operator
          ports:
            - containerPort: 8000
          env:
            - name: LOG_LEVEL
              value: "info"
            - name: GREETING
              value: 'hello, world'
          resources:
            requests: {cpu: 100m, memory: 128Mi}
            limits:
              memory: 256Mi
          livenessProbe:
            httpGet:
              path: /health
              port: 8000
            initialDelaySeconds: 5
          volumeMounts:
            - name: config
              mountPath: /etc/app
      volumes:
        - name: config
          configMap:
            name: app-%[1]d
---
apiVersion: v1
kind: Service
metadata: {name: app-%[1]d}
`, i, image)
	}
	return b.Bytes()
}

var sizes = []int{50, 1_000, 50_000}

// BenchmarkSetTag is one edit: parse, find, replace, verify.
func BenchmarkSetTag(b *testing.B) {
	n := mustName(b, "kainlite/blog", false)
	for _, lines := range sizes {
		content := manifest(lines)
		b.Run(fmt.Sprintf("%d lines", lines), func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				f, err := Parse(content)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.Find(n); err != nil {
					b.Fatal(err)
				}
				if _, err := f.SetTag(n, commit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFind is what a Deployment costs that is up to date.
func BenchmarkFind(b *testing.B) {
	n := mustName(b, "kainlite/blog", false)
	for _, lines := range sizes {
		content := manifest(lines)
		b.Run(fmt.Sprintf("%d lines", lines), func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				f, err := Parse(content)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := f.Find(n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
