// Package worker runs handlers on the deliveries of a JetStream consumer.
//
// A handler is a function from one event to the events that follow from it.
// It never sees a broker message, so it can neither settle one twice nor
// forget it. The runtime decodes, bounds the time, heartbeats, recovers
// panics, publishes what follows with deterministic ids and then acknowledges:
// a crash at any moment repeats work and never loses it. Handlers are
// therefore idempotent.
//
// The life of a delivery:
//
//	pull ─▶ decode ─▶ attempts spent, expired? ──yes──▶ bury
//	                    │ no
//	                    ▼
//	                  handler ─▶ error? ──no──▶ publish results ─▶ ack (confirmed)
//	                    │ yes
//	                    ▼
//	    stopping ▶ hand back · permanent ▶ bury · throttled ▶ later · else ▶ retry with backoff
//
// While a part is away that everything needs (fault.IsAway) the handler runs
// again in the same delivery, after a pause, until the event's deadline: the
// work keeps its slot and its attempts. Urgent work does so for ten seconds only.
//
// Burying writes a dead letter (the original bytes, the story in headers),
// waits until it is stored, tells the route's Buried hook, and only then
// terminates the message.
package worker
