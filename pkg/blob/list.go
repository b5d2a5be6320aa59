package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"gocloud.dev/blob"
)

// DeletePrefix removes every blob below a [Prefix] but keep, which may be "".
// It also removes uploads that are written but not yet accepted; who must
// spare those deletes by key, as the catalog lists them.
func (s *Store) DeletePrefix(ctx context.Context, prefix, keep string) error {
	for item, err := range s.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if item.Key == keep {
			continue
		}
		if err := s.Delete(ctx, item.Key); err != nil {
			return err
		}
	}
	return nil
}

// List yields the blobs below a [Prefix], or below a tenant or all, in the
// order of their keys, and stops after an error.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for o, err := range s.objects(ctx, prefix) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			item := Item{Key: fromStored(o.Key), Bytes: o.Size, ModTime: o.ModTime}
			// What is no key is a file that is being written.
			if checkKey(item.Key) == nil && !yield(item, nil) {
				return
			}
		}
	}
}

func (s *Store) objects(ctx context.Context, prefix string) iter.Seq2[*blob.ListObject, error] {
	return func(yield func(*blob.ListObject, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(nil, err)
			return
		}
		objects := s.backend.Bucket.List(&blob.ListOptions{Prefix: toStored(prefix)})
		for {
			o, err := objects.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("list blobs: %w", s.classify(err)))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

// temporary is how gocloud's file bucket names what is not whole yet.
const temporary = ".tmp"

// Tidy removes what writers that were killed before now left half written,
// and returns how much. Pass a time before which no living Put began. It
// reads the whole listing. Clouds need a rule of their own that ends
// multipart uploads which nobody completed.
func (s *Store) Tidy(ctx context.Context, before time.Time) (int, error) {
	removed := 0
	if s.backend.Tidy != nil {
		n, err := s.backend.Tidy(ctx, before)
		if err != nil {
			return n, fmt.Errorf("tidy blobs: %w", s.classify(err))
		}
		return n, nil
	}
	if s.dir == "" {
		return 0, nil
	}
	for o, err := range s.objects(ctx, root) {
		if err != nil {
			return removed, err
		}
		if !strings.HasSuffix(o.Key, temporary) || !o.ModTime.Before(before) {
			continue
		}
		if err := s.remove(ctx, o.Key); err != nil {
			return removed, fmt.Errorf("remove half-written blob: %w", err)
		}
		removed++
	}
	return removed, nil
}
