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

// Background returns the goroutines that libraries start and do not end in
// time, each with its reason.
func Background() []goleak.Option {
	return []goleak.Option{
		// fasthttp writes the date of responses from one goroutine that it starts once.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// It clears a server's idle workers every 10 s, and sees only then that the server is gone.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	}
}
