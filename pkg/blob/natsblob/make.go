package natsblob

import (
	"context"
	"net/url"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Make makes the bucket that a URL of an [Opener] names when it is not there,
// whatever the URL's create says: it is for those who may make what services
// only use. A bucket that is there stays as it is.
func Make(ctx context.Context, js jetstream.JetStream, rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != Scheme {
		// The parser's error repeats the URL.
		return fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL: use nats://bucket?replicas=3")
	}
	cfg, _, err := parse(u)
	if err != nil {
		return fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL: %s; use nats://bucket?replicas=3", err)
	}
	backend, err := open(ctx, js, cfg, true)
	if err != nil {
		return err
	}
	return backend.Bucket.Close() //nolint:wrapcheck // nothing is under way
}
