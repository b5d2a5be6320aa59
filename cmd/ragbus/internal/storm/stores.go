package storm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
)

func (r *replicas) stores(ctx context.Context) (*stores, error) {
	// The superuser sees the rows of all tenants.
	db, err := sql.Open("pgx", r.superuser)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	host, port, err := net.SplitHostPort(r.qdrant.Probe)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	index, err := qdrant.NewClient(&qdrant.Config{Host: host, Port: n, APIKey: stack.QdrantKey, SkipCompatibilityCheck: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the index: %w", err), db.Close())
	}
	bucket, err := r.bus.js.ObjectStore(ctx, stack.Bucket)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the object store: %w", err), db.Close(), index.Close())
	}
	return &stores{
		db: db, js: r.bus.js,
		points: func(ctx context.Context) ([]point, error) { return qdrantPoints(ctx, index) },
		blobs:  func(ctx context.Context) (map[string]bool, error) { return natsBlobs(ctx, bucket) },
		close:  func() { _ = errors.Join(db.Close(), index.Close()) },
	}, nil
}

func natsBlobs(ctx context.Context, bucket jetstream.ObjectStore) (map[string]bool, error) {
	out := map[string]bool{}
	list, err := bucket.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("list the object store: %w", err)
	}
	for _, o := range list {
		if !o.Deleted {
			out[o.Name] = true
		}
	}
	return out, nil
}

// qdrantPoints reads every chunk of every collection. Points that are no
// chunks have no document.
func qdrantPoints(ctx context.Context, c *qdrant.Client) ([]point, error) {
	collections, err := c.ListCollections(ctx)
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	var out []point
	for _, name := range collections {
		var offset *qdrant.PointId
		for {
			page, next, err := c.ScrollAndOffset(ctx, &qdrant.ScrollPoints{
				CollectionName: name, Limit: new(uint32(500)), Offset: offset, WithPayload: qdrant.NewWithPayloadInclude("tenant", "ref"),
			})
			if err != nil {
				return nil, fmt.Errorf("read the index: %w", err)
			}
			for _, p := range page {
				q, ok, err := chunkOf(p.GetPayload())
				if err != nil {
					return nil, err
				}
				if ok {
					out = append(out, q)
				}
			}
			if next == nil {
				break
			}
			offset = next
		}
	}
	return out, nil
}

// chunkOf reads which chunk a point is: its reference is ordinal/document/version.
func chunkOf(payload map[string]*qdrant.Value) (p point, ok bool, err error) {
	ref := payload["ref"].GetStringValue()
	if ref == "" {
		return point{}, false, nil
	}
	parts := strings.Split(ref, "/")
	if len(parts) == 3 {
		p.ordinal, err = strconv.Atoi(parts[0])
	}
	if len(parts) != 3 || err != nil {
		return point{}, false, fmt.Errorf("the index holds a point of %q", ref)
	}
	p.document, p.version = payload["tenant"].GetStringValue()+"/"+parts[1], parts[2]
	return p, true, nil
}
