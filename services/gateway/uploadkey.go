package gateway

import (
	"encoding/json"
	"slices"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// once returns what tells the upload's request from others under its
// Idempotency-Key, which is its owner's alone. Two requests are the same when
// they say the same, however they write it.
func (r *request) once(u *upload) (catalog.Once, error) {
	if u.key == "" {
		return catalog.Once{}, nil
	}
	metadata, acl := u.Metadata, slices.Sorted(slices.Values(u.ACL))
	if metadata == nil {
		metadata = map[string]any{}
	}
	described, err := json.Marshal([]any{metadata, acl})
	if err != nil {
		return catalog.Once{}, fault.As(fault.Permanent, err)
	}
	return catalog.Once{
		Key: corpus.DeriveID("upload/key", u.Tenant, r.who.Owner, u.key),
		Digest: corpus.DeriveID("upload/request", u.SHA256, u.MediaType, u.Filename, u.ID, u.Collection, u.Title, u.Source,
			string(described)),
	}, nil
}
