// Package e2e holds no code, only tests of Ragbus as a whole, from outside:
//
//   - Suite: what the public API promises, run against a [Shape], which is any
//     way to run Ragbus that can be reached by URL. Here it runs against
//     everything in this process; the same suite is for four processes too.
//   - the program: the built binary started, asked, interrupted, killed and
//     started again, with the settings and the commands that people type;
//   - the documentation: README's commands as they are printed, and its links;
//   - the layers: which package may import which.
//
// Nothing here sleeps: tests wait with the API's own means, or look again
// until a bound.
package e2e
