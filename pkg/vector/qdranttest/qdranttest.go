// Package qdranttest is a stand-in for a Qdrant server, for tests on machines
// without one. It speaks Qdrant's gRPC protocol on the client's generated
// server stubs and keeps everything in memory, optionally with a journal that
// lets it come back after a restart.
//
// It does what servers 1.18 and 1.19 were measured to do, also where that is
// inconvenient: IDF over the whole collection unless the query names a corpus
// (1.19), deleted points counted in it until they are vacuumed, payload
// updates that readers see half done, NaN accepted and found first, ties in no
// order that means anything, conditional upserts that fail without a sign. It
// searches exactly, where a server approximates large collections. What it
// cannot do it refuses with UNIMPLEMENTED or INVALID_ARGUMENT. The contract
// suite of package vectortest runs against it and against real servers alike.
package qdranttest

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Version is the release whose behaviour the stand-in shows by default.
const Version = "1.19.0"

// maxMessage is the largest request, as in the server's default configuration.
const maxMessage = 32 << 20

// Options of a [Server]. The zero value is a server without a key and without a journal.
type Options struct {
	// Version to behave as, "major.minor.patch"; before 1.19 a query's IDF
	// corpus is ignored. Empty means [Version].
	Version string
	// APIKey that requests must carry, "" for none.
	APIKey string
	// Journal is the file that keeps every change, "" for none.
	Journal string
	// Credentials for TLS; nil is plain text.
	Credentials credentials.TransportCredentials
	// Intercept sees every request before the server does; it may fail it. May be nil.
	Intercept grpc.UnaryServerInterceptor
}

// Server is the stand-in. Use [New]. Its methods are safe for concurrent use.
type Server struct {
	qdrant.UnimplementedQdrantServer
	opts      Options
	scopedIDF bool
	grpc      *grpc.Server
	journal   *journal

	mu          sync.RWMutex
	collections map[string]*collection
	aliases     map[string]string
}

// New returns a server with what its journal holds.
func New(opts Options) (*Server, error) {
	if opts.Version == "" {
		opts.Version = Version
	}
	major, minor, err := parseVersion(opts.Version)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, scopedIDF: major > 1 || minor >= 19,
		collections: make(map[string]*collection), aliases: make(map[string]string),
	}
	chain := []grpc.UnaryServerInterceptor{s.authenticate}
	if opts.Intercept != nil {
		chain = append(chain, opts.Intercept)
	}
	if opts.Journal != "" {
		if s.journal, err = openJournal(opts.Journal, s); err != nil {
			return nil, err
		}
		chain = append(chain, s.journal.intercept)
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage), grpc.ChainUnaryInterceptor(chain...),
		// The real server minds no pings.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Millisecond, PermitWithoutStream: true}),
	}
	if opts.Credentials != nil {
		options = append(options, grpc.Creds(opts.Credentials))
	}
	s.grpc = grpc.NewServer(options...)
	qdrant.RegisterQdrantServer(s.grpc, s)
	qdrant.RegisterCollectionsServer(s.grpc, collectionsService{server: s})
	qdrant.RegisterPointsServer(s.grpc, pointsService{server: s})
	return s, nil
}

func parseVersion(version string) (major, minor int, err error) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) == 3 {
		if major, err = strconv.Atoi(parts[0]); err == nil {
			minor, err = strconv.Atoi(parts[1])
		}
		if err == nil {
			return major, minor, nil
		}
	}
	return 0, 0, fmt.Errorf("version %q is not major.minor.patch", version)
}

// Serve answers requests on the listener until [Server.Stop]; it closes the listener.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); err != nil {
		return fmt.Errorf("serve the stand-in: %w", err)
	}
	return nil
}

// Stop ends every connection and closes the journal.
func (s *Server) Stop() error {
	s.grpc.Stop()
	if s.journal != nil {
		return s.journal.close()
	}
	return nil
}

// Start serves on a free port of the loopback until the test ends, and
// returns the address.
func Start(tb testing.TB, opts Options) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	StartOn(tb, l, opts)
	return l.Addr().String()
}

// StartOn serves on the listener until the test ends, or until the returned server is stopped.
func StartOn(tb testing.TB, l net.Listener, opts Options) *Server {
	tb.Helper()
	s, err := New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil {
			tb.Errorf("%v", err)
		}
	})
	tb.Cleanup(func() {
		if err := s.Stop(); err != nil {
			tb.Errorf("stop the stand-in: %v", err)
		}
		serving.Wait()
	})
	return s
}

func (s *Server) authenticate(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if s.opts.APIKey == "" {
		return next(ctx, req)
	}
	md, _ := metadata.FromIncomingContext(ctx)
	for _, key := range md.Get("api-key") {
		if subtle.ConstantTimeCompare([]byte(key), []byte(s.opts.APIKey)) == 1 {
			return next(ctx, req)
		}
	}
	return nil, status.Error(codes.Unauthenticated, "Must provide an API key or an Authorization bearer token")
}

// HealthCheck implements the service "Qdrant".
func (s *Server) HealthCheck(context.Context, *qdrant.HealthCheckRequest) (*qdrant.HealthCheckReply, error) {
	return &qdrant.HealthCheckReply{Title: "qdrant - vector search engine", Version: s.opts.Version}, nil
}

// find returns the collection with that name or alias.
func (s *Server) find(name string) (*collection, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if target, ok := s.aliases[name]; ok {
		name = target
	}
	c, ok := s.collections[name]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "Not found: Collection `%s` doesn't exist!", name)
	}
	return c, nil
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, "Wrong input: "+format, args...)
}
