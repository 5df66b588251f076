package notify

import (
	"strings"
	"testing"
	"time"
)

const sha = "e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5"

func TestTheTextsAreThosePromised(t *testing.T) {
	for _, test := range []struct {
		got  Message
		kind Kind
		text string
	}{
		{BuildRunning("kainlite/blog", sha, 20*time.Second, 2, 5), KindProgress, ":hourglass: Build running for kainlite/blog (SHA: e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5), retrying in 20s (attempt 2/5)"},
		{BuildRunning("blog", "e4", time.Minute, 5, 5), KindProgress, ":hourglass: Build running for blog (SHA: e4), retrying in 60s (attempt 5/5)"},
		{BuildRunning("blog", "e4", 500*time.Millisecond, 1, 1), KindProgress, ":hourglass: Build running for blog (SHA: e4), retrying in 0.5s (attempt 1/1)"},
		{BuildRunning("blog", "e4", 10*time.Second+1, 1, 1), KindProgress, ":hourglass: Build running for blog (SHA: e4), retrying in 10s (attempt 1/1)"},
		{BuildRunning("a<b>&", "<e4>", time.Second, 1, 1), KindProgress, ":hourglass: Build running for a&lt;b&gt;&amp; (SHA: &lt;e4&gt;), retrying in 1s (attempt 1/1)"},
		{BuildFailed("kainlite/blog", sha), KindFailure, ":x: Build failed for kainlite/blog (SHA: e4f5a6b1c2d3e4f5a6b1c2d3e4f5a6b1c2d3e4f5), image will not be available"},
		{BuildFailed("a<b>&", "<e4>"), KindFailure, ":x: Build failed for a&lt;b&gt;&amp; (SHA: &lt;e4&gt;), image will not be available"},
		{ImageMissing("kainlite/blog", "e4f5a6b"), KindFailure, ":x: image kainlite/blog:e4f5a6b not found in registry after waiting for build"},
		{ImageMissing("a<b>&", "<e4>"), KindFailure, ":x: image a&lt;b&gt;&amp;:&lt;e4&gt; not found in registry after waiting for build"},
		{Failure("fetch git@github.com:kainlite/blog.git: timed out"), KindFailure, ":x: fetch git@github.com:kainlite/blog.git: timed out"},
		{Failure("see <https://evil.example|here> & <!channel>"), KindFailure, ":x: see &lt;https://evil.example|here&gt; &amp; &lt;!channel&gt;"},
		{Failure("first\r\nsecond\tthird\x1b[31m\x00 \u202efourth \xff\n"), KindFailure, ":x: first  second third[31m fourth"},
		{Success("Deployment blog patched successfully to version e4f5a6b"), KindSuccess, "Deployment blog patched successfully to version e4f5a6b"},
		{Success("<b> & c"), KindSuccess, "&lt;b&gt; &amp; c"},
	} {
		equal(t, "kind", test.got.Kind, test.kind)
		equal(t, "text", test.got.Text, test.text)
	}
}

func TestLongTextsAreCutBeforeTheyAreEscaped(t *testing.T) {
	equal(t, "text", Failure(strings.Repeat("&", 10_000)).Text, ":x: "+strings.Repeat("&amp;", maxValue)+"...")
	equal(t, "text", Success("x"+strings.Repeat("ü", 10_000)).Text, "x"+strings.Repeat("ü", (maxValue-1)/2)+"...")
}

func TestEscapeLeavesTheRestAlone(t *testing.T) {
	equal(t, "escaped", Escape("a\n*b* \"c\" 'd' `e` @here &amp; <x>"), "a\n*b* \"c\" 'd' `e` @here &amp;amp; &lt;x&gt;")
}
