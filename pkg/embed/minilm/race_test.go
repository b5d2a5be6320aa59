//go:build race

package minilm_test

// raceDetector says whether plain Go runs several times slower.
const raceDetector = true
