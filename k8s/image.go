package k8s

import (
	"slices"
	"strings"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
)

const noTag = "latest"

// running returns image and tag of the container that imageName names (of several
// names, the first that names one), else of the first container. It is for
// display: what is changed in git is decided there.
func running(pod corev1.PodSpec, imageName string) (image, tag string) {
	var images []string
	for _, c := range slices.Concat(pod.Containers, pod.InitContainers) {
		images = append(images, c.Image)
	}
	// The exact name first: a sidecar may have the same path in another registry.
	for _, imageName := range values(imageName) {
		for _, same := range []func(a, b string) bool{sameName, samePath} {
			if i := slices.IndexFunc(images, func(image string) bool { return same(imageName, image) }); i >= 0 {
				return splitImage(images[i])
			}
		}
	}
	if len(pod.Containers) == 0 {
		return "", noTag
	}
	return splitImage(pod.Containers[0].Image)
}

// splitImage takes tag and digest off an image and leaves the spelling of the
// rest alone. What is no image reference comes back whole.
func splitImage(image string) (name, tag string) {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return image, noTag
	}
	name, _, _ = strings.Cut(image, "@")
	if tagged, ok := ref.(reference.Tagged); ok {
		return strings.TrimSuffix(name, ":"+tagged.Tag()), tagged.Tag()
	}
	return name, noTag
}

func sameName(imageName, image string) bool {
	a, errA := reference.ParseNormalizedNamed(imageName)
	b, errB := reference.ParseNormalizedNamed(image)
	return errA == nil && errB == nil && a.Name() == b.Name()
}

// samePath is for an imageName without a registry host: it may stand for an
// image in any registry.
func samePath(imageName, image string) bool {
	a, errA := reference.ParseNormalizedNamed(imageName)
	b, errB := reference.ParseNormalizedNamed(image)
	if errA != nil || errB != nil || strings.HasPrefix(imageName, reference.Domain(a)+"/") {
		return false
	}
	// A name of one part is "library/name" at Docker Hub only.
	return reference.FamiliarName(a) == reference.Path(b)
}
