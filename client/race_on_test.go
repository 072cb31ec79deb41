//go:build race

package client_test

// raceDetector: with it sync.Pool loses objects on purpose.
const raceDetector = true
