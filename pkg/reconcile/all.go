package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// Report says what was compared and what differs.
type Report struct {
	// Documents, Points, Blobs, Messages and Letters (of documents) count what was looked at.
	Documents int `json:"documents"`
	Points    int `json:"points"`
	Blobs     int `json:"blobs"`
	Messages  int `json:"messages"`
	Letters   int `json:"letters"`
	// Differences in the order of documents, points, bytes, messages, dead letters.
	Differences []Difference `json:"differences"`
	// Notes say what was not compared, and why.
	Notes []string `json:"notes,omitempty"`
}

// Mended reports whether nothing differs, or nothing that was not mended.
func (r Report) Mended() bool {
	for _, d := range r.Differences {
		if !d.Mended {
			return false
		}
	}
	return true
}

// What one step of a walk reads, and how many messages are looked at.
const (
	walkPage    = 200
	maxMessages = 100_000
)

// All compares everything: each document, all points, all bytes, the work
// in a queue (nil is not looked at), and the dead letters. With Repair it mends as it goes.
func (c *Checker) All(ctx context.Context, queue jetstream.Stream) (Report, error) {
	r := Report{Differences: []Difference{}}
	err := errors.Join(c.allDocuments(ctx, &r), c.allPoints(ctx, &r))
	if c.parts.Blobs != nil {
		err = errors.Join(err, c.allBytes(ctx, &r))
	}
	if queue != nil {
		err = errors.Join(err, c.allMessages(ctx, queue, &r))
	}
	if c.parts.Letters != nil {
		err = errors.Join(err, c.allLetters(ctx, &r))
	}
	return r, err
}

func (c *Checker) allDocuments(ctx context.Context, r *Report) error {
	tenant, id := "", ""
	for {
		docs, err := c.parts.Record.Changed(ctx, time.Time{}, tenant, id, walkPage)
		if err != nil {
			return fmt.Errorf("walk the record: %w", err)
		}
		if len(docs) == 0 {
			return nil
		}
		for _, doc := range docs {
			tenant, id = doc.Tenant, doc.ID
			differences, err := c.Document(ctx, tenant, id)
			if err != nil {
				return fmt.Errorf("compare document %s of tenant %s: %w", id, tenant, err)
			}
			r.Documents++
			r.Differences = append(r.Differences, differences...)
		}
	}
}

func (c *Checker) allPoints(ctx context.Context, r *Report) error {
	// A version may be met in many parts: its document is told once.
	unknown := make(map[catalog.Suspect]bool)
	from := ""
	for {
		part, next, err := c.parts.Index.Walk(ctx, from, walkPage)
		if err != nil {
			return fmt.Errorf("walk the index: %w", err)
		}
		found, err := c.Points(ctx, part)
		if err != nil {
			return err
		}
		r.Points += sum(part)
		for _, s := range found.Unknown {
			if unknown[s] {
				continue
			}
			unknown[s] = true
			d := Difference{Kind: PointsOrphaned, Tenant: s.Tenant, Document: s.Name, What: "points of a document that is not on record"}
			c.settle(&d, "they were removed", func() error { return c.RemovePoints(ctx, s) })
			r.Differences = append(r.Differences, d)
		}
		if from = next; from == "" {
			return nil
		}
	}
}

func sum(part []vector.Holding) int {
	n := 0
	for _, h := range part {
		n += h.Points
	}
	return n
}

func (c *Checker) allBytes(ctx context.Context, r *Report) error {
	from := ""
	for {
		items, next, err := c.parts.Blobs.Page(ctx, from, walkPage)
		if err != nil {
			return fmt.Errorf("walk the blob store: %w", err)
		}
		found, err := c.Bytes(ctx, items)
		if err != nil {
			return err
		}
		r.Blobs += len(items)
		for _, s := range found.Unknown {
			d := Difference{Kind: BytesOrphaned, Tenant: s.Tenant, What: s.Name}
			c.settle(&d, "they were removed", func() error { return c.RemoveBytes(ctx, s) })
			r.Differences = append(r.Differences, d)
		}
		if from = next; from == "" {
			return nil
		}
	}
}

// settle mends one thing, when that is asked for, and notes what came of it.
func (c *Checker) settle(d *Difference, done string, mend func() error) {
	if !c.cfg.Repair {
		return
	}
	if err := mend(); err != nil {
		d.Done = "not mended: " + reason(err)
		return
	}
	d.Mended, d.Done = true, done
}

// allMessages looks at work without taking it.
func (c *Checker) allMessages(ctx context.Context, queue jetstream.Stream, r *Report) error {
	for sequence := uint64(1); ; {
		m, err := queue.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject("rag.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at the queue: %w", err)
		}
		if r.Messages == maxMessages {
			r.Notes = append(r.Notes, fmt.Sprintf("only the first %d messages of the queue were looked at", maxMessages))
			return nil
		}
		r.Messages++
		sequence = m.Sequence + 1
		e, err := event.Decode(event.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if err != nil {
			continue // its worker says what it is
		}
		tenant, id, named := concerns(e)
		if !named {
			continue
		}
		_, err = c.parts.Record.Document(ctx, tenant, id)
		if err == nil {
			continue
		}
		if !fault.Is(err, fault.NotFound) {
			return fmt.Errorf("look for a document: %w", err)
		}
		d := Difference{Kind: MessageOrphaned, Tenant: tenant, What: fmt.Sprintf("message %d on %s, for document %s", m.Sequence, m.Subject, id)}
		c.settle(&d, "it was removed", func() error {
			if err := queue.DeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
				return err //nolint:wrapcheck // reported as it is
			}
			return nil
		})
		r.Differences = append(r.Differences, d)
	}
}

// allLetters looks for dead letters that nothing can come of.
func (c *Checker) allLetters(ctx context.Context, r *Report) error {
	err := c.parts.Letters.EachOfDocuments(ctx, func(l deadletter.Letter, e event.Event) error {
		r.Letters++
		tenant, id, named := concerns(e)
		if !named {
			return nil
		}
		doc, err := c.parts.Record.Document(ctx, tenant, id)
		what := "not on record"
		switch {
		case err == nil && doc.Status != corpus.Deleted:
			return nil
		case err == nil:
			what = "deleted"
		case !fault.Is(err, fault.NotFound):
			return fmt.Errorf("look for a document: %w", err)
		}
		d := Difference{Kind: LetterOrphaned, Tenant: tenant, Document: id, What: fmt.Sprintf("dead letter %s of %s, of a document that is %s", l.ID, l.Kind, what)}
		c.settle(&d, "it was removed", func() error {
			if err := c.parts.Letters.Remove(ctx, tenant, l.ID); err != nil && !fault.Is(err, fault.NotFound) {
				return err //nolint:wrapcheck // reported as it is
			}
			return nil
		})
		r.Differences = append(r.Differences, d)
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare the dead letters: %w", err)
	}
	return nil
}

// concerns returns the document that work is for. What brings a document
// concerns none that has to be there.
func concerns(e event.Event) (tenant, id string, ok bool) {
	switch d := e.Data.(type) {
	case event.DocumentUploaded:
		return e.Tenant, d.ID, d.Generation > 0
	case event.DocumentDeleted:
		return e.Tenant, d.ID, d.Generation > 0
	case event.DocumentChanged:
		return e.Tenant, d.ID, d.Revision > 0
	case event.ChunksReady:
		return e.Tenant, d.ID, true
	}
	return "", "", false
}

// Words says what a kind means, for people.
func (k Kind) Words() string { return strings.ReplaceAll(string(k), "_", " ") }
