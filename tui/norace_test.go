//go:build unix && !race

package tui

const raceDetector = false
