// Package broker is NATS itself: a server inside the process, the
// connection to any server, the streams and consumers as data, and confirmed
// publishing.
//
// JetStream is transport and not the record: the stores are. What is
// published here may be delivered more than once and never carries document
// bytes.
package broker
