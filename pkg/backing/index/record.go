package index

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdrantvector"
)

// Documents is what a rebuild reads of the record.
type Documents interface {
	catalog.Walker
	catalog.VectorCache
	Document(ctx context.Context, tenant, id string) (corpus.Document, error)
}

// Record reads an index anew from the record of documents. Nothing is
// extracted again, and embedded is only a text whose vector is not remembered,
// because its document's title was changed since or the model is another.
type Record struct {
	Documents Documents
	Embedder  embed.Embedder
	Log       *slog.Logger
}

// walkPage is how many rows are read at once; a chunk is about a kilobyte.
const walkPage = 100

// Versions implements [qdrantvector.Source].
func (r Record) Versions(ctx context.Context, since time.Time) iter.Seq2[qdrantvector.Version, error] {
	return func(yield func(qdrantvector.Version, error) bool) {
		tenant, id := "", ""
		for {
			docs, err := r.Documents.Changed(ctx, since, tenant, id, walkPage)
			if err != nil {
				yield(qdrantvector.Version{}, fmt.Errorf("walk the record: %w", err))
				return
			}
			if len(docs) == 0 {
				return
			}
			for _, doc := range docs {
				tenant, id = doc.Tenant, doc.ID
				for _, v := range r.versions(ctx, doc) {
					if !yield(v, nil) {
						return
					}
				}
			}
		}
	}
}

// versions returns what the index should hold of a document.
func (r Record) versions(ctx context.Context, doc corpus.Document) []qdrantvector.Version {
	point := vector.Document{
		Tenant: doc.Tenant, Collection: doc.Collection, ID: doc.ID, Generation: doc.Generation, ACL: doc.ACL, Metadata: doc.Metadata,
	}
	version := func(id string, state qdrantvector.State, chunks int) qdrantvector.Version {
		v := qdrantvector.Version{Document: point, State: state, Chunks: chunks}
		v.Document.Version = id
		v.Points = r.points(ctx, doc, id)
		return v
	}
	switch doc.Status {
	case corpus.Deleting, corpus.Deleted:
		return []qdrantvector.Version{{Document: point, State: qdrantvector.Gone}}
	case corpus.Indexed:
		return []qdrantvector.Version{version(doc.LiveVersion, qdrantvector.Live, doc.Chunks)}
	case corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Failed:
	}
	var all []qdrantvector.Version
	if doc.LiveVersion != "" {
		all = append(all, version(doc.LiveVersion, qdrantvector.Live, 0))
	}
	// The chunks of a version that is being embedded are all on record; those
	// whose vectors are not known yet are written by whoever embeds them.
	if doc.Status == corpus.Embedding && doc.SHA256 != doc.LiveVersion {
		all = append(all, version(doc.SHA256, qdrantvector.Dark, 0))
	}
	return all
}

// points reads the points of one version, a page at a time.
func (r Record) points(ctx context.Context, doc corpus.Document, version string) iter.Seq2[vector.Point, error] {
	dark := version != doc.LiveVersion
	return func(yield func(vector.Point, error) bool) {
		for after := -1; ; {
			chunks, err := r.Documents.VersionChunks(ctx, doc.Tenant, doc.ID, version, after, walkPage)
			if err != nil {
				yield(vector.Point{}, fmt.Errorf("read chunks of %s: %w", doc.ID, err))
				return
			}
			if len(chunks) == 0 {
				return
			}
			after = chunks[len(chunks)-1].Ordinal
			points, err := r.embed(ctx, doc, chunks, dark)
			if err != nil {
				yield(vector.Point{}, err)
				return
			}
			for _, p := range points {
				if !yield(p, nil) {
					return
				}
			}
		}
	}
}

// embed returns the points of some chunks. Of a dark version those are left
// out whose vectors are not known.
func (r Record) embed(ctx context.Context, doc corpus.Document, chunks []corpus.Chunk, dark bool) ([]vector.Point, error) {
	texts, hashes := make([]string, len(chunks)), make([]string, len(chunks))
	for i, c := range chunks {
		texts[i] = c.EmbeddingText(doc.Title)
		hashes[i] = catalog.TextHash(texts[i])
	}
	known, err := r.Documents.Vectors(ctx, doc.Tenant, r.Embedder.Profile().Key(), hashes)
	if err != nil {
		return nil, fmt.Errorf("read the vectors of %s: %w", doc.ID, err)
	}
	points := make([]vector.Point, 0, len(chunks))
	var missing []string
	var at []int
	for i, c := range chunks {
		v := known[hashes[i]]
		if v == nil && dark {
			continue
		}
		if v == nil {
			missing, at = append(missing, texts[i]), append(at, len(points))
		}
		points = append(points, vector.Point{Ordinal: c.Ordinal, Text: texts[i], Dense: v})
	}
	if len(missing) == 0 {
		return points, nil
	}
	r.Log.InfoContext(ctx, "embedding texts whose vectors are not remembered", "document", doc.ID, "texts", len(missing))
	vectors, err := r.Embedder.Embed(ctx, embed.Passage, missing)
	if err != nil {
		return nil, fmt.Errorf("embed %d texts of %s: %w", len(missing), doc.ID, err)
	}
	for i, v := range vectors {
		points[at[i]].Dense = v
	}
	return points, nil
}

// Attributes implements [qdrantvector.Source].
func (r Record) Attributes(ctx context.Context, tenant, document string) (acl []string, metadata map[string]any, err error) {
	doc, err := r.Documents.Document(ctx, tenant, document)
	if fault.Is(err, fault.NotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read document %s: %w", document, err)
	}
	return doc.ACL, doc.Metadata, nil
}

var _ qdrantvector.Source = Record{}

// Reindex fills the index of a profile anew from the record and lets it take
// the place of the one that searches use, while everything goes on.
func Reindex(ctx context.Context, c Config, r Record) (qdrantvector.Report, error) {
	profile := r.Embedder.Profile()
	report, err := qdrantvector.Reindex(ctx, qdrantvector.Config{
		URL: c.URL.Reveal(), APIKey: c.Key.Reveal(), Dimensions: profile.Dimensions, ProfileKey: profile.Key(), Logger: r.Log,
	}, r)
	if err != nil {
		return report, fmt.Errorf("rebuild the index: %w", err)
	}
	return report, nil
}
