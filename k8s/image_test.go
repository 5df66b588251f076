package k8s

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestImageIsSplitAndItsSpellingKept(t *testing.T) {
	tests := []struct{ image, name, tag string }{
		{"blog", "blog", "latest"},
		{"blog:1", "blog", "1"},
		{"kainlite/blog:3c0a882", "kainlite/blog", "3c0a882"},
		{"docker.io/library/nginx:1.27", "docker.io/library/nginx", "1.27"},
		{"localhost:5000/x", "localhost:5000/x", "latest"},
		{"localhost:5000/x:v1", "localhost:5000/x", "v1"},
		{"REGISTRY.example.com/x:V1", "REGISTRY.example.com/x", "V1"},
		{"x@" + digest, "x", "latest"},
		{"a:1@" + digest, "a", "1"},
		{"localhost:5000/a@" + digest, "localhost:5000/a", "latest"},
		{"Kainlite/Blog:1", "Kainlite/Blog:1", "latest"},
		{"${IMAGE}:${TAG}", "${IMAGE}:${TAG}", "latest"},
		{"a:1@sha256:short", "a:1@sha256:short", "latest"},
		{"", "", "latest"},
	}
	for _, test := range tests {
		if name, tag := splitImage(test.image); name != test.name || tag != test.tag {
			t.Errorf("%s: got %q, %q", test.image, name, tag)
		}
	}
}

func TestContainerIsTheOneThatImageNameNames(t *testing.T) {
	tests := []struct {
		name             string
		imageName        string
		containers, init []string
		image, tag       string
	}{
		{"no container", "kainlite/blog", nil, nil, "", "latest"},
		{"second container", "kainlite/blog", []string{"envoy:1", "kainlite/blog:2"}, nil, "kainlite/blog", "2"},
		{"not a longer name", "kainlite/blog", []string{"kainlite/blog-api:1", "kainlite/blog:2"}, nil, "kainlite/blog", "2"},
		{"Docker Hub spelled out", "kainlite/blog", []string{"envoy:1", "docker.io/kainlite/blog:2"}, nil, "docker.io/kainlite/blog", "2"},
		{"in any registry", "kainlite/blog", []string{"envoy:1", "ghcr.io/kainlite/blog:2"}, nil, "ghcr.io/kainlite/blog", "2"},
		{"one part, in any registry", "blog", []string{"envoy:1", "localhost:5000/blog:2"}, nil, "localhost:5000/blog", "2"},
		{"the exact name before the path", "blog", []string{"ghcr.io/blog:1", "blog:2"}, nil, "blog", "2"},
		{"a named registry is exact", "ghcr.io/kainlite/blog", []string{"envoy:1", "quay.io/kainlite/blog:2"}, nil, "envoy", "1"},
		{"Docker Hub by name is exact", "docker.io/kainlite/blog", []string{"envoy:1", "quay.io/kainlite/blog:2"}, nil, "envoy", "1"},
		{"an init container", "kainlite/migrate", []string{"envoy:1"}, []string{"kainlite/migrate:2"}, "kainlite/migrate", "2"},
		{"containers come first", "kainlite/blog", []string{"kainlite/blog:1"}, []string{"kainlite/blog:2"}, "kainlite/blog", "1"},
		{"else the first", "kainlite/blog", []string{"envoy:1", "nginx:2"}, []string{"busybox:3"}, "envoy", "1"},
		{"no reference", "not an image", []string{"envoy:1", "nginx:2"}, nil, "envoy", "1"},
		{"what does not parse never matches", "Kainlite/Blog", []string{"envoy:1", "Kainlite/Blog"}, nil, "envoy", "1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var pod corev1.PodSpec
			for _, image := range test.containers {
				pod.Containers = append(pod.Containers, corev1.Container{Image: image})
			}
			for _, image := range test.init {
				pod.InitContainers = append(pod.InitContainers, corev1.Container{Image: image})
			}
			if image, tag := running(pod, test.imageName); image != test.image || tag != test.tag {
				t.Errorf("got %q, %q; want %q, %q", image, tag, test.image, test.tag)
			}
		})
	}
}
