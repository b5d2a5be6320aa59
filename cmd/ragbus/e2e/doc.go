// Package e2e holds no code, only tests of Ragbus as a whole, from outside:
//
//   - Suite: what the public API promises, run against a [Shape], which is any
//     way to run Ragbus that can be reached by URL: everything in this
//     process, and (make e2e) two replicas of each service as processes of
//     their own over a guarded nats-server, Postgres, Qdrant's stand-in and models' emulators;
//   - bad days of those processes: replicas killed, parts stopped and started,
//     starts that must be refused;
//   - the program: the built binary started, asked, interrupted, killed and
//     started again, with the settings and the commands that people type;
//   - the documentation: README's commands as they are printed, and its links;
//   - the layers: which package may import which.
//
// Nothing here sleeps: tests wait with the API's own means, or look again
// until a bound.
package e2e
