// Package backing opens the backing services that the settings name: here
// the database and the object store; in the packages below it the vector
// store (index), the APIs that make vectors (embedder) and those that write
// answers (writer), each apart because a program carries every adapter that it
// could choose. Together they are the one switch on configuration between the
// ports and their adapters; programs of one service and of all four use them alike.
package backing

import (
	"context"
	"errors"
	"fmt"

	"github.com/ragbus/ragbus/pkg/access/sqlaccess"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// Database names the record of documents, conversations and API keys.
type Database struct {
	// URL is a Postgres URL; its parameters are described in docs/operations.md.
	URL config.Secret `env:"RAGBUS_DATABASE_URL"`
}

// Missing returns the problem of a process that needs a shared database and has none.
func (c Database) Missing() error {
	if c.URL == "" {
		return errors.New("RAGBUS_DATABASE_URL: missing; a service that runs alone shares a Postgres, e.g. postgres://ragbus:…@db:5432/ragbus")
	}
	return nil
}

// Validate implements config.Validator.
func (c Database) Validate() error {
	if c.URL == "" {
		return nil
	}
	return Unusable("RAGBUS_DATABASE_URL", sqldb.CheckURL(c.URL.Reveal()))
}

// Records are the stores that share a database.
type Records struct {
	Catalog       *sqlcatalog.Store
	Conversations *sqlconversation.Store
	// Access holds API keys, and what was spent under them.
	Access *sqlaccess.Store
}

// OpenRecords opens the database that is named, or else the one at the URL
// otherwise, migrates it, and returns the stores on it. That one is the
// caller's own: nobody else opens it, for the caller has locked where it is.
func OpenRecords(ctx context.Context, h Host, c Database, otherwise string) (Records, error) {
	url := c.URL.Reveal()
	if url == "" {
		url = otherwise
	}
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url, Sole: c.URL == ""})
	if err != nil {
		return Records{}, Unusable("RAGBUS_DATABASE_URL", fmt.Errorf("open the database: %w", err))
	}
	h.OnClose(func(context.Context) error { return db.Close() })
	h.OnProbe(lifecycle.Check{Name: "database", Probe: db.Ready})
	for _, notice := range db.Notices() {
		h.Log.WarnContext(ctx, notice) //nolint:sloglint // sentences made for the log
	}
	documents, err := sqlcatalog.Open(ctx, db)
	if err != nil {
		return Records{}, Unusable("RAGBUS_DATABASE_URL", err)
	}
	chats, err := sqlconversation.Open(ctx, db)
	if err != nil {
		return Records{}, Unusable("RAGBUS_DATABASE_URL", err)
	}
	keys, err := sqlaccess.Open(ctx, db)
	if err != nil {
		return Records{}, Unusable("RAGBUS_DATABASE_URL", err)
	}
	return Records{Catalog: documents, Conversations: chats, Access: keys}, nil
}

// Blobs names the object store of documents' bytes.
type Blobs struct {
	// URL is s3://…, gs://…, azblob://…, nats://… or file://….
	URL config.Secret `env:"RAGBUS_BLOB_URL"`
}

// Missing returns the problem of a process that needs a shared object store and has none.
func (c Blobs) Missing() error {
	if c.URL == "" {
		return errors.New("RAGBUS_BLOB_URL: missing; services that run alone share an object store, e.g. s3://bucket?region=eu-west-1")
	}
	return nil
}

// Validate implements config.Validator. Which of the stores a program has a
// client for, it says itself.
func (c Blobs) Validate() error {
	if c.URL == "" {
		return nil
	}
	return blob.CheckURL(c.URL.Reveal(), "nats", "s3", "gs", "azblob")
}

// OpenBlobs opens the store that is named, or else the one at the URL otherwise.
func OpenBlobs(ctx context.Context, h Host, c Blobs, otherwise string, openers ...blob.Opener) (*blob.Store, error) {
	url := c.URL.Reveal()
	if url == "" {
		url = otherwise
	}
	s, err := blob.Open(ctx, url, openers...)
	if err != nil {
		return nil, Unusable("RAGBUS_BLOB_URL", fmt.Errorf("open the blob store: %w", err))
	}
	h.OnClose(func(context.Context) error { return s.Close() })
	h.OnProbe(lifecycle.Check{Name: "blob_store", Probe: s.Ready})
	return s, nil
}
