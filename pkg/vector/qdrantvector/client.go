package qdrantvector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ragbus/ragbus/pkg/fault"
)

const (
	attempts  = 4
	firstWait = 50 * time.Millisecond
	// maxAnswer bounds an answer: a page of points with their vectors.
	maxAnswer = 64 << 20
	// With windows of a given size gRPC does not measure the line with a ping
	// for every answer, and an answer seldom has to wait for one to open.
	streamWindow     = 4 << 20
	connectionWindow = 16 << 20
	keepAliveSeconds = 20
	keepAliveTimeout = 5
	// A server that comes back is found again within about this time; gRPC's own limit is two minutes.
	maxReconnectDelay = 2 * time.Second
	connectTimeout    = 5 * time.Second
)

// client is a pool of connections. Every error that comes out of it is a
// fault, or the caller's own context's.
type client struct {
	pool    []*qdrant.GrpcClient
	next    atomic.Uint32
	answers answerCodec
}

// dial prepares connections; the server is not asked yet. The client's own
// pool is not used, for it chains the interceptors of one connection into the next.
func dial(e endpoint, cfg Config) (*client, error) {
	c := &client{answers: newAnswerCodec()}
	for range cfg.Connections {
		conn, err := qdrant.NewGrpcClient(&qdrant.Config{
			Host: e.host, Port: e.port, UseTLS: e.tls, TLSConfig: tlsConfig(cfg.TLS),
			SkipCompatibilityCheck: true,
			KeepAliveTime:          keepAliveSeconds, KeepAliveTimeout: keepAliveTimeout,
			GrpcOptions: []grpc.DialOption{
				grpc.WithChainUnaryInterceptor(caller{key: cfg.APIKey, timeout: cfg.CallTimeout}.intercept),
				grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
				grpc.WithConnectParams(reconnecting()),
				grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connectionWindow),
			},
		})
		if err != nil {
			return nil, errors.Join(fault.Permanentf("vector_store_unreachable", "RAGBUS_VECTOR_URL: the address cannot be used").WithCause(err), c.close())
		}
		c.pool = append(c.pool, conn)
	}
	return c, nil
}

func reconnecting() grpc.ConnectParams {
	params := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}
	params.Backoff.BaseDelay, params.Backoff.MaxDelay = firstWait, maxReconnectDelay
	return params
}

func tlsConfig(given *tls.Config) *tls.Config {
	if given != nil {
		return given.Clone()
	}
	return &tls.Config{MinVersion: tls.VersionTLS12}
}

func (c *client) conn() *qdrant.GrpcClient {
	return c.pool[int(c.next.Add(1)%uint32(len(c.pool)))]
}

func (c *client) points() qdrant.PointsClient           { return c.conn().Points() }
func (c *client) collections() qdrant.CollectionsClient { return c.conn().Collections() }
func (c *client) service() qdrant.QdrantClient          { return c.conn().Qdrant() }

// queryBatch makes several queries in one request and returns what each has found.
func (c *client) queryBatch(ctx context.Context, req *qdrant.QueryBatchPoints) ([][]point, error) {
	var found answers
	err := c.conn().Conn().Invoke(ctx, qdrant.Points_QueryBatch_FullMethodName, req, &found, grpc.ForceCodecV2(c.answers))
	return found.results, err //nolint:wrapcheck // a fault of the client
}

func (c *client) close() error {
	var errs []error
	for _, conn := range c.pool {
		if err := conn.Close(); err != nil && status.Code(err) != codes.Canceled { // closed before
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// caller puts key, deadline and retries around each request. All requests of
// this package may be repeated: they say what is to be, not what is to change.
type caller struct {
	key     string
	timeout time.Duration
}

func (c caller) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if c.key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "api-key", c.key)
	}
	for attempt := 1; ; attempt++ {
		var trailer metadata.MD
		err := c.once(ctx, func(ctx context.Context) error {
			return invoke(ctx, method, req, reply, cc, append(opts, grpc.Trailer(&trailer))...)
		})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("qdrant %s: %w", operation(method), ctx.Err())
		case status.Code(err) != codes.Unavailable || attempt == attempts:
			return c.fault(method, err, trailer)
		}
		wait := rand.N(firstWait << attempt) //nolint:gosec // jitter needs no secrecy
		if until, ok := ctx.Deadline(); ok && time.Until(until) <= wait {
			return c.fault(method, err, trailer)
		}
		if sleep(ctx, wait) != nil {
			return fmt.Errorf("qdrant %s: %w", operation(method), ctx.Err())
		}
	}
}

func (c caller) once(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return call(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // wrapped by the caller
	}
}

// operation returns the last part of "/qdrant.Points/Upsert".
func operation(method string) string {
	return method[strings.LastIndexByte(method, '/')+1:]
}

// refusal is what the server said, without the key.
type refusal struct {
	code    codes.Code
	message string
}

func (r *refusal) Error() string { return r.message }

// codeOf returns the server's code for an error of the client, OK for none.
func codeOf(err error) codes.Code {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.code
	}
	return codes.OK
}

// fault classifies what the server said. A key that is refused and an index
// that is gone are Transient: work that was accepted waits until they are mended.
func (c caller) fault(method string, err error, trailer metadata.MD) error {
	r := &refusal{code: status.Code(err), message: fmt.Sprintf("qdrant %s: %s: %s", operation(method), status.Code(err), status.Convert(err).Message())}
	if c.key != "" {
		r.message = strings.ReplaceAll(r.message, c.key, "[key]")
	}
	switch r.code {
	case codes.Unavailable:
		return fault.Transientf("vector_store_unavailable", "the search index does not answer (RAGBUS_VECTOR_URL)").Away().WithCause(r)
	case codes.Unauthenticated, codes.PermissionDenied:
		return fault.Transientf("vector_store_denied", "the search index refuses the key (RAGBUS_QDRANT_API_KEY)").Away().WithCause(r)
	case codes.NotFound:
		return fault.Transientf("index_missing", "the search index is not there; run: ragbus reindex").Away().WithCause(r)
	case codes.InvalidArgument, codes.AlreadyExists:
		return fault.Permanentf("vector_store_refused", "the search index refused a request").WithCause(r)
	case codes.Unimplemented:
		return fault.Permanentf("vector_store_too_old", "the Qdrant server is too old; use 1.16 or later").WithCause(r)
	case codes.ResourceExhausted:
		seconds := 0
		if after := trailer.Get("retry-after"); len(after) > 0 {
			seconds, _ = strconv.Atoi(after[0])
		}
		return fault.Throttledf(time.Duration(max(0, seconds))*time.Second, "vector_store_throttled", "the search index asked for a pause").WithCause(r)
	case codes.OK, codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.Internal, codes.DataLoss:
	}
	return fault.Transientf("vector_store_failed", "the search index failed").WithCause(r)
}
