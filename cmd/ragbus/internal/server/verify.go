package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/blob/natsblob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/reconcile"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/services/ingestor"
)

// Verify compares the record with the blob store, the index and the ingestion
// queue that the settings name, and mends what differs when asked to. What is
// shared may be in use; embedded parts must not be.
func (o Operator) Verify(ctx context.Context, repair bool) (_ reconcile.Report, err error) {
	cfg, log, err := o.settings()
	if err != nil {
		return reconcile.Report{}, err
	}
	if err := kept(cfg); err != nil {
		return reconcile.Report{}, err
	}
	s := &Server{cfg: cfg, log: log}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	st, note, err := s.openToCompare(ctx)
	if err != nil {
		return reconcile.Report{}, err
	}
	if err := awaitIndex(ctx, st); err != nil {
		return reconcile.Report{}, err
	}
	report, err := ingestor.Compare(ctx, cfg.Ingestor, ingestor.Deps{
		Log: log, JetStream: st.conn.JetStream(), Record: st.catalog, Blobs: st.blobs, Index: st.index,
	}, ingestor.Comparison{Repair: repair, Settling: o.Settling})
	if note != "" {
		report.Notes = append(report.Notes, note)
	}
	return report, err
}

// openToCompare opens the parts that are compared, embedded ones as `ragbus
// serve` does. The note says what could not be opened and is left out.
func (s *Server) openToCompare(ctx context.Context) (st *stores, note string, err error) {
	st = &stores{topology: broker.NewTopology(s.cfg.Topology), health: map[string]lifecycle.Check{}}
	embedded := s.cfg.Database.URL == "" || s.cfg.Index.URL == "" || s.cfg.Blobs.URL == ""
	if err := s.connect(ctx, st, embedded); err != nil {
		return nil, "", err
	}
	if s.cfg.Broker.URL == "" {
		// Our own, so that it is ours to make; one that is shared may be another's.
		if err := broker.Ensure(ctx, st.conn.JetStream(), st.topology); err != nil {
			return nil, "", inDir(err)
		}
	}
	host := backing.Host{
		Log: s.log, Broker: st.conn, Alone: true, OnClose: s.onClose,
		OnProbe:  func(lifecycle.Check) { /* nobody asks */ },
		OnHealth: func(lifecycle.Check) { /* nobody asks */ },
	}
	records, err := backing.OpenRecords(ctx, host, s.cfg.Database, sqldb.FileURL(filepath.Join(s.cfg.DataDir, databaseFile)))
	if err != nil {
		return nil, "", err
	}
	st.catalog = records.Catalog
	directory, err := blob.FileURL(filepath.Join(s.cfg.DataDir, "blobs"))
	if err != nil {
		return nil, "", err
	}
	if cloud(s.cfg.Blobs.URL.Reveal()) {
		note = "bytes were not compared: this program has no client for the object stores of clouds; `ingestor verify` has, with the same settings"
	} else if st.blobs, err = backing.OpenBlobs(ctx, host, s.cfg.Blobs, directory, natsblob.Opener(st.conn.JetStream())); err != nil {
		return nil, "", err
	}
	if st.embedder, err = embedder.Open(ctx, host, s.cfg.Vectors, s.cfg.Keys); err != nil {
		return nil, "", err
	}
	return st, note, s.openIndex(ctx, host, st)
}

// awaitIndex waits until an embedded index is in memory.
func awaitIndex(ctx context.Context, st *stores) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := st.index.Ready(ctx)
		if err == nil {
			return nil
		}
		pause := time.NewTimer(indexPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("wait for the index: %w (%w)", err, ctx.Err())
		case <-pause.C:
		}
	}
}

// indexPause is how often a loading index is asked.
const indexPause = 20 * time.Millisecond

// cloud reports whether a blob URL names a store that only the services' programs know.
func cloud(url string) bool {
	for _, scheme := range []string{"s3:", "gs:", "azblob:"} {
		if len(url) > len(scheme) && url[:len(scheme)] == scheme {
			return true
		}
	}
	return false
}

// applyBuckets makes what is in the broker beside the topology: the bucket of
// documents' bytes, when they are kept there.
func applyBuckets(ctx context.Context, cfg Config, conn *broker.Conn, log *slog.Logger) error {
	url := cfg.Blobs.URL.Reveal()
	if len(url) <= len(natsblob.Scheme) || url[:len(natsblob.Scheme)+1] != natsblob.Scheme+":" {
		return nil
	}
	if err := natsblob.Make(ctx, conn.JetStream(), url); err != nil {
		return fmt.Errorf("make the object store: %w", err)
	}
	log.DebugContext(ctx, "the object store is there")
	return nil
}
