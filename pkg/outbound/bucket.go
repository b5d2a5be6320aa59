package outbound

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// BucketName is the KV bucket that all replicas' pacers share. Its stream is
// KV_RAG_PACE and its subjects are $KV.RAG_PACE.>.
const BucketName = "RAG_PACE"

// BucketConfig returns the bucket's configuration. What it holds is worth a
// minute, so it stays in memory and forgets by itself.
func BucketConfig(replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: BucketName, Description: "use of the providers' limits in the last minute",
		History: 1, TTL: 10 * time.Minute, MaxValueSize: 64 << 10, MaxBytes: 8 << 20,
		Storage: jetstream.MemoryStorage, Replicas: max(replicas, 1),
	}
}

// OpenBucket returns what [PacerDeps] wants to open the bucket. With create
// it is made when it is missing, as after the restart of a server that stands
// alone; without, another owner has to.
func OpenBucket(js jetstream.JetStream, replicas int, create bool) func(ctx context.Context) (jetstream.KeyValue, error) {
	return func(ctx context.Context) (jetstream.KeyValue, error) {
		bucket, err := js.KeyValue(ctx, BucketName)
		if err == nil {
			return bucket, nil
		}
		if !create || !errors.Is(err, jetstream.ErrBucketNotFound) {
			return nil, fmt.Errorf("open the bucket %s: %w", BucketName, err)
		}
		bucket, err = js.CreateKeyValue(ctx, BucketConfig(replicas))
		if errors.Is(err, jetstream.ErrBucketExists) {
			bucket, err = js.KeyValue(ctx, BucketName)
		}
		if err != nil {
			return nil, fmt.Errorf("create the bucket %s: %w", BucketName, err)
		}
		return bucket, nil
	}
}
