//go:build race

package faults

// raceDetector says that the operator is to be built with it too.
const raceDetector = true
