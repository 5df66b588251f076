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

// shared is a file with so many entries, one for each of as many workloads.
func shared(kind string, entries int) []byte {
	var b bytes.Buffer
	if kind == "kustomization" {
		b.WriteString("kind: Kustomization\nimages:\n")
	}
	for i := range entries {
		switch kind {
		case "kustomization":
			fmt.Fprintf(&b, "- name: kainlite/app-%d\n  newTag: 3c0a88249fb61a0a4f4a65295f42b2dee3963c28\n", i)
		case "values":
			fmt.Fprintf(&b, "app%d:\n  replicas: 2\n  image:\n    repository: kainlite/app-%d\n    tag: 3c0a88249fb61a0a4f4a65295f42b2dee3963c28\n    pullPolicy: Always\n", i, i)
		}
	}
	return b.Bytes()
}

// BenchmarkSharedFile is a pass over 1,000 workloads that share one file: where
// nothing is to be changed, and where every one gets a commit of its own.
func BenchmarkSharedFile(b *testing.B) {
	const entries = 1000
	for _, kind := range []string{"kustomization", "values", "paths"} {
		content := shared(kind, entries)
		if kind == "paths" {
			content = shared("kustomization", entries)
		}
		requests := make([]Request, entries)
		for i := range requests {
			name := fmt.Sprintf("kainlite/app-%d", i)
			requests[i].Images = []Name{mustName(b, name, true)}
			if kind == "paths" {
				requests[i].Paths = []Expression{mustPath(b, fmt.Sprintf(".images[] | select(.name == %q) | .newTag", name))}
			}
		}
		b.Run(kind+" found", func(b *testing.B) {
			for b.Loop() {
				f, err := Parse(content)
				if err != nil {
					b.Fatal(err)
				}
				for _, r := range requests {
					if _, err := f.Places(r); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(kind+" changed", func(b *testing.B) {
			for b.Loop() {
				f, err := Parse(content)
				if err != nil {
					b.Fatal(err)
				}
				s := f.Series()
				for _, r := range requests {
					if _, _, err := s.Edit(r, Version{Tag: commit}); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := s.Verify(); err != nil {
					b.Fatal(err)
				}
				for i := range requests {
					s.Content(i + 1)
				}
			}
		})
	}
}
