package qdrantvector

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/ragbus/ragbus/pkg/fault"
)

// place is a collection to write to. missing brings points of a version that
// were written before the collection was; nil where that cannot be.
type place struct {
	collection string
	missing    func(ctx context.Context, tenant, document, version string) error
	// rebuild is set on writes that repeat what the record said a while ago:
	// they give way to a version that its writer has made live meanwhile.
	rebuild bool
}

// everywhere writes to all collections that hold the index: the current one
// and, while a rebuild runs, the one to come. Which ones there are is looked
// up again after writing, so that a write that ends when a rebuild has begun,
// or has replaced the collection, is in the new one too.
func (s *Store) everywhere(ctx context.Context, what string, write func(context.Context, place) error) error {
	written := make(map[string]bool)
	var gone error
	for range changeAttempts {
		known, err := s.aliases(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		var open []place
		for _, collection := range []string{known.current, known.next} {
			if collection != "" && !written[collection] {
				open = append(open, s.place(collection, known))
			}
		}
		if len(open) == 0 {
			if len(written) == 0 {
				return fmt.Errorf("%s: %w", what, s.lost(gone))
			}
			return nil
		}
		for _, p := range open {
			err := write(ctx, p)
			if codeOf(err) == codes.NotFound {
				gone = err // replaced meanwhile, or lost
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			written[p.collection] = true
		}
		if gone != nil && len(written) == 0 {
			again, err := s.aliases(ctx)
			if err != nil || again == known {
				return fmt.Errorf("%s: %w", what, errors.Join(s.lost(gone), err))
			}
		}
	}
	return fmt.Errorf("%s: %w", what, fault.Transientf("index_contended", "the search index is being replaced again and again"))
}

func (s *Store) place(collection string, known targets) place {
	p := place{collection: collection}
	if collection == known.next && known.current != "" && known.current != known.next {
		p.missing = func(ctx context.Context, tenant, document, version string) error {
			return s.copyMissing(ctx, known.current, known.next, tenant, document, version)
		}
	}
	return p
}

func (s *Store) lost(cause error) error {
	return fault.Transientf("index_missing", "the search index is not there; run: ragbus reindex").WithCause(cause)
}

// copyMissing copies the points of a version that one collection has and another has not.
func (s *Store) copyMissing(ctx context.Context, from, to, tenant, document, version string) error {
	of := ofVersion(tenant, document, version)
	has, err := s.count(ctx, to, of)
	if err != nil {
		return err
	}
	wanted, err := s.count(ctx, from, of)
	if err != nil || has >= wanted {
		return err
	}
	for page, err := range s.scroll(ctx, from, of) {
		if err != nil {
			return err
		}
		if err := s.put(ctx, to, page); err != nil {
			return err
		}
	}
	return nil
}
