package vector

import "context"

// State is what an index knows of one document. The zero State is that of a
// document that it has never seen.
type State struct {
	// Generation is the newest that wrote, Deleted the newest that was
	// deleted: writers of the one before, or up to the other, are late.
	Generation int64
	Deleted    int64
	// Live is the version that searches see, "" for none.
	Live       string
	Collection string
	// ACL and Metadata are what filters read of the live version; nil ACL means everyone.
	ACL      []string
	Metadata map[string]any
	// Points counts the points of each version, live or dark.
	Points map[string]int
}

// Holding says that there are points of a version.
type Holding struct {
	Tenant, Document, Version string
	// Points is how many of them this part of the walk has met. A version may
	// be met several times: the sum counts.
	Points int
}

// Inspector tells what an index holds, to those who compare it with the
// record. What it tells of a document that is being written may be of
// different moments. Errors and concurrency are those of [Store].
type Inspector interface {
	// Inspect returns what the index knows of a document.
	Inspect(ctx context.Context, tenant, document string) (State, error)

	// Walk returns what there are points of, a part of about limit points or
	// versions at a time, in an order of its own, and where to go on: ""
	// begins, and "" is returned at the end. What is written meanwhile may be
	// missed or met twice. A place that no Walk returned, or one of another
	// store, may be refused as Invalid "invalid_cursor".
	Walk(ctx context.Context, from string, limit int) (part []Holding, next string, err error)

	// Forget removes all of a document, and that there ever was one: the next
	// writer may come with any generation. It is for documents that the record
	// does not know. When a generation newer than the given one has written, it
	// changes nothing.
	Forget(ctx context.Context, tenant, document string, generation int64) error
}

// Index is a store that can be compared with the record.
type Index interface {
	Store
	Inspector
}
