// Package bucket opens the object store that the settings name, of every kind
// that there is an adapter for.
package bucket

import (
	"context"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/blob/cloudblob"
	"github.com/ragbus/ragbus/pkg/blob/natsblob"
)

// Open opens the store that is named, or else the one at the URL otherwise.
func Open(ctx context.Context, h backing.Host, c backing.Blobs, otherwise string) (*blob.Store, error) {
	return backing.OpenBlobs(ctx, h, c, otherwise, append(cloudblob.Openers(), natsblob.Opener(h.Broker.JetStream()))...)
}
