package blob

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"gocloud.dev/blob"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Page returns up to about limit of all blobs, in the order of their keys,
// and where to go on: "" begins, and "" is returned at the end. What is put
// meanwhile may be missed. A place that no Page of this kind of store
// returned is an Invalid fault "invalid_cursor", or begins anew.
func (s *Store) Page(ctx context.Context, from string, limit int) (items []Item, next string, err error) {
	token := blob.FirstPageToken
	if from != "" {
		if token, err = base64.RawURLEncoding.DecodeString(from); err != nil || len(token) == 0 {
			return nil, "", fault.Invalidf("invalid_cursor", "the place to go on from is not one of this store").WithField("from")
		}
	}
	objects, token, err := s.backend.Bucket.ListPage(ctx, token, max(limit, 1), &blob.ListOptions{Prefix: toStored(root)})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", fmt.Errorf("list blobs: %w", s.classify(err))
	}
	for _, o := range objects {
		item := Item{Key: fromStored(o.Key), Bytes: o.Size, ModTime: o.ModTime}
		// What is no key is a file that is being written.
		if checkKey(item.Key) == nil {
			items = append(items, item)
		}
	}
	return items, base64.RawURLEncoding.EncodeToString(token), nil
}

// Has reports whether there is a blob.
func (s *Store) Has(ctx context.Context, key string) (bool, error) {
	if err := checkKey(key); err != nil {
		return false, err
	}
	found, err := s.backend.Bucket.Exists(ctx, toStored(key))
	if err = s.readFault(ctx, err); err != nil {
		if fault.Is(err, fault.NotFound) {
			return false, nil
		}
		return false, fmt.Errorf("look for a blob: %w", err)
	}
	return found, nil
}

// Owner returns the tenant of a blob that a listing returned.
func (i Item) Owner() string {
	_, rest, _ := strings.Cut(i.Key, "/")
	tenant, _, _ := strings.Cut(rest, "/")
	return tenant
}
