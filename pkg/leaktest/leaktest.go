// Package leaktest fails a package's tests when they leave goroutines behind.
package leaktest

import (
	"testing"

	"go.uber.org/goleak"
)

// Main runs a package's tests and then fails when a goroutine is left. It is
// all that a TestMain needs:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
func Main(m *testing.M) {
	goleak.VerifyTestMain(m, Background()...)
}

// Background returns the goroutines that libraries start once for the whole
// process and never end, each with its reason.
func Background() []goleak.Option {
	return nil
}
