// Package reply is how an answer travels back while it is made: frames that
// workers write and gateways read.
//
// JetStream does not keep a requester's reply subject, so an event carries it
// in a header: rag.answer.v1.<gateway>.<request>. A frame is one plain
// publication on it. The gateway hears it at once through its one wildcard
// subscription, and the stream RAG_FRAMES keeps it for five minutes, so that
// a reader can come back to any gateway and read everything again.
//
// Frames are numbered from 1 for each stage and attempt. A repeated attempt
// starts over; a gap is never skipped; exactly one end or error closes the
// answer. [Assembler] turns frames into what a reader is shown, and does so
// the same way everywhere.
package reply
