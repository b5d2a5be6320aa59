package qdrantvector

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// State says what a rebuild makes of a version.
type State uint8

// The states of a [Version].
const (
	// Live versions are what searches see.
	Live State = iota
	// Dark versions are still being indexed: those of their points that are
	// known already are written, and whoever indexes the rest makes them live.
	Dark
	// Gone documents were deleted; the index remembers it to refuse late work.
	Gone
)

// Version is a document as the record has it, for a rebuild.
type Version struct {
	// Document with the generation that the record has now.
	Document vector.Document
	State    State
	// Chunks is how many points the version has, 0 when that is not known. A
	// version that has them all already is not written again.
	Chunks int
	// Points of the version; nil for a Gone one. They are asked for once.
	Points iter.Seq2[vector.Point, error]
}

// Source is where a rebuild reads from: the record of documents, their stored
// chunks and the vectors remembered for them.
type Source interface {
	// Versions returns the documents of all tenants that changed at or after
	// since by the record's own clock (the zero time: all of them), deleted
	// ones included, in any order. Of a document that is being indexed anew it
	// returns the live version, and then the one on its way.
	Versions(ctx context.Context, since time.Time) iter.Seq2[Version, error]
	// Attributes returns what filters read of a document now. A document that
	// is gone has none, and that is not an error.
	Attributes(ctx context.Context, tenant, document string) (acl []string, metadata map[string]any, err error)
}

// Report says what a rebuild has done.
type Report struct {
	// Collection that searches see now.
	Collection string
	Documents  int
	Points     int
	// Late counts documents that changed while they were written; whoever
	// changed them has written them.
	Late int
}

// overlap is how much further back than needed the later passes look, for
// clocks that differ and transactions that end late.
const overlap = 5 * time.Minute

// batchPoints is how many points of a version are held in memory.
const batchPoints = 256

// Reindex fills a new collection from the record and lets it take the old
// one's place, which may be lost, damaged or of another release; then it drops
// the old one. Searches and writes go on meanwhile: searches see the old
// collection until the last step, and writers find the new one by its alias
// and write to both. A rebuild that was interrupted is continued by the next,
// and two at once do the same work twice.
//
// It reads everything, then what changed since it began, then changes places,
// then what changed since: work that was under way in the record but not in
// the index at one of these moments is in it at the next.
func Reindex(ctx context.Context, cfg Config, source Source) (Report, error) {
	s, err := connect(ctx, cfg)
	if err != nil {
		return Report{}, err
	}
	report, err := s.rebuild(ctx, source)
	if err = errors.Join(err, s.Close()); err != nil {
		return report, fmt.Errorf("rebuild the search index: %w", err)
	}
	return report, nil
}

func (s *Store) rebuild(ctx context.Context, source Source) (Report, error) {
	target, err := s.begin(ctx)
	if err != nil {
		return Report{}, err
	}
	report := Report{Collection: target}
	since := time.Time{}
	for range 2 {
		began := s.now()
		if err := s.fill(ctx, target, source, since, &report); err != nil {
			return report, err
		}
		since = began.Add(-overlap)
	}
	if err := s.replace(ctx, target); err != nil {
		return report, err
	}
	if err := s.fill(ctx, target, source, since, &report); err != nil {
		return report, err
	}
	return report, s.dropOthers(ctx, target)
}

// begin returns the collection to fill: the one of a rebuild that was
// interrupted, or a fresh one.
func (s *Store) begin(ctx context.Context) (string, error) {
	known, err := s.aliases(ctx)
	if err != nil {
		return "", err
	}
	if known.next != "" {
		err := s.verify(ctx, known.next)
		if err == nil {
			s.log.InfoContext(ctx, "continuing a rebuild of the search index", slog.String("collection", known.next))
			return known.next, nil
		}
		if !fault.Is(err, fault.Permanent) {
			return "", err
		}
		if err := s.drop(ctx, known.next); err != nil {
			return "", err
		}
	}
	number := s.names.number(known.current) + 1
	target := s.names.collection(number)
	if err := s.dropLeftovers(ctx, known.current, target); err != nil {
		return "", err
	}
	if err := s.create(ctx, target); err != nil {
		return "", err
	}
	if err := s.verify(ctx, target); err != nil {
		return "", err
	}
	return target, s.point(ctx, s.names.next, target)
}

// dropLeftovers drops the index's collections that no alias stands for, but
// for those named.
func (s *Store) dropLeftovers(ctx context.Context, keep ...string) error {
	list, err := s.client.collections().List(ctx, &qdrant.ListCollectionsRequest{})
	if err != nil {
		return fmt.Errorf("list the collections: %w", err)
	}
	kept := make(map[string]bool, len(keep))
	for _, name := range keep {
		kept[name] = true
	}
	for _, c := range list.GetCollections() {
		if s.names.number(c.GetName()) == 0 || kept[c.GetName()] {
			continue
		}
		if err := s.drop(ctx, c.GetName()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) drop(ctx context.Context, collection string) error {
	if _, err := s.client.collections().Delete(ctx, &qdrant.DeleteCollection{CollectionName: collection}); err != nil {
		return fmt.Errorf("drop collection %s: %w", collection, err)
	}
	s.log.InfoContext(ctx, "dropped a collection of the search index", slog.String("collection", collection))
	return nil
}

// replace lets the alias stand for the new collection, in one step.
func (s *Store) replace(ctx context.Context, target string) error {
	known, err := s.aliases(ctx)
	if err != nil {
		return err
	}
	var actions []*qdrant.AliasOperations
	if known.current != "" {
		actions = append(actions, qdrant.NewAliasDelete(s.names.alias))
	}
	actions = append(actions, qdrant.NewAliasCreate(s.names.alias, target))
	if known.next != "" {
		actions = append(actions, qdrant.NewAliasDelete(s.names.next))
	}
	if _, err := s.client.collections().UpdateAliases(ctx, &qdrant.ChangeAliases{Actions: actions}); err != nil {
		return fmt.Errorf("let %s stand for %s: %w", s.names.alias, target, err)
	}
	return nil
}

// dropOthers drops what the target has replaced, once the searches that have begun there are done.
func (s *Store) dropOthers(ctx context.Context, target string) error {
	known, err := s.aliases(ctx)
	if err != nil {
		return err
	}
	if known.current != target {
		return nil // another rebuild has taken over
	}
	if err := sleep(ctx, s.cfg.Grace); err != nil {
		return fmt.Errorf("wait for searches that have begun: %w", err)
	}
	return s.dropLeftovers(ctx, target, known.next, s.names.collection(s.names.number(target)+1))
}

// fill writes the versions that the source has.
func (s *Store) fill(ctx context.Context, target string, source Source, since time.Time, report *Report) error {
	for v, err := range source.Versions(ctx, since) {
		if err != nil {
			return fmt.Errorf("read the record: %w", err)
		}
		n, err := s.write(ctx, place{collection: target, rebuild: true}, v)
		report.Points += n
		switch {
		case errors.Is(err, vector.ErrStale):
			report.Late++
			continue
		case err != nil:
			return fmt.Errorf("write document %s of tenant %s: %w", v.Document.ID, v.Document.Tenant, err)
		}
		report.Documents++
		if v.State != Gone {
			if err := s.refresh(ctx, place{collection: target, rebuild: true}, source, v.Document); err != nil {
				return err
			}
		}
	}
	return nil
}

// refresh sets the attributes again where they changed after the document was
// read: that change was written before what was read, and would be lost.
func (s *Store) refresh(ctx context.Context, p place, source Source, doc vector.Document) error {
	acl, metadata, err := source.Attributes(ctx, doc.Tenant, doc.ID)
	if err != nil {
		return fmt.Errorf("read the attributes of document %s: %w", doc.ID, err)
	}
	now, err := checkAttributes(vector.Document{ACL: acl, Metadata: metadata})
	if err != nil {
		return err
	}
	if now.equal(attributes{ACL: doc.ACL, Metadata: doc.Metadata}) {
		return nil
	}
	return s.setAttributes(ctx, p, doc.Tenant, doc.ID, now)
}

// write writes one version and returns how many points that took.
func (s *Store) write(ctx context.Context, p place, v Version) (int, error) {
	doc := v.Document
	if v.State == Gone {
		if err := checkIDs(doc.Tenant, doc.ID); err != nil {
			return 0, err
		}
		return 0, s.delete(ctx, p, doc.Tenant, doc.ID, doc.Generation)
	}
	if err := checkDocument(doc); err != nil {
		return 0, err
	}
	given, err := checkAttributes(doc)
	if err != nil {
		return 0, err
	}
	written := 0
	has, err := s.count(ctx, p.collection, ofVersion(doc.Tenant, doc.ID, doc.Version))
	if err != nil {
		return 0, err
	}
	if v.Chunks == 0 || has < v.Chunks {
		if written, err = s.writePoints(ctx, p, v, given); err != nil {
			return written, err
		}
	}
	if v.State == Live {
		return written, s.activate(ctx, p, doc, given)
	}
	return written, nil
}

func (s *Store) writePoints(ctx context.Context, p place, v Version, given attributes) (int, error) {
	written := 0
	var batch []vector.Point
	flush := func() error {
		encoded, err := s.encode(v.Document, batch)
		if err != nil {
			return err
		}
		if err := s.upsert(ctx, p, v.Document, given, encoded); err != nil {
			return err
		}
		written += len(batch)
		batch = batch[:0]
		return nil
	}
	if v.Points != nil {
		for point, err := range v.Points {
			if err != nil {
				return written, fmt.Errorf("read the chunks: %w", err)
			}
			if batch = append(batch, point); len(batch) == batchPoints {
				if err := flush(); err != nil {
					return written, err
				}
			}
		}
	}
	return written, flush()
}
