package main

import (
	"fmt"
	"slices"
	"time"
)

type number interface{ ~int | ~int64 | ~float64 }

// quantile returns the value below which a part q of the values lies.
func quantile[N number](values []N, q float64) N {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + N(float64(sorted[i+1]-sorted[i])*(at-float64(i)))
}

func median[N number](values []N) N { return quantile(values, 0.5) }

// ratios are those of runs that followed each other.
func ratios(a, b []time.Duration) []float64 {
	var r []float64
	for i := range min(len(a), len(b)) {
		r = append(r, float64(a[i])/float64(b[i]))
	}
	return r
}

// show prints a time with three digits at most.
func show(d time.Duration) string {
	switch {
	case d >= 100*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 100*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
}

// spread prints a median with its range.
func spread(values []time.Duration) string {
	if len(values) == 0 {
		return "–"
	}
	return fmt.Sprintf("%s (%s – %s)", show(median(values)), show(slices.Min(values)), show(slices.Max(values)))
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
