package qdrantvector_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
	"github.com/ragbus/ragbus/pkg/vector/qdrantvector"
)

const secret = "correct-horse-battery"

func TestBadConfigurationsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := qdrantvector.Open(t.Context(), qdrantvector.Config{APIKey: "with space"})
	for _, problem := range []string{"RAGBUS_VECTOR_URL", "dimensions", "profile", "logger", "RAGBUS_QDRANT_API_KEY"} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v does not name %s", err, problem)
		}
	}
	for _, url := range []string{
		"http://host:6333", "host:6334", "qdrant://", "qdrant://host:0", "qdrant://host:66000", "qdrant://host:6334/a/b", "qdrant://host?x=1",
		"qdrant://:" + secret + "@host", "qdrant://host:6334/" + strings.Repeat("x", 65), "qdrant://%zz" + secret,
	} {
		cfg := config("unused")
		cfg.URL = url
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "RAGBUS_VECTOR_URL") || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

// TestRefusalsNameTheSetting opens what cannot be opened and wants one clear
// fault that repetition will not mend, without the key.
func TestRefusalsNameTheSetting(t *testing.T) {
	t.Parallel()
	closed, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		address  string
		scheme   string
		key      string
		code     string
		mentions string
	}{
		"nobody there":   {address: nobody, code: "vector_store_unreachable", mentions: "RAGBUS_VECTOR_URL"},
		"a wrong key":    {address: qdranttest.Start(t, qdranttest.Options{APIKey: "other"}), key: secret, code: "vector_store_denied", mentions: "RAGBUS_QDRANT_API_KEY"},
		"no key":         {address: qdranttest.Start(t, qdranttest.Options{APIKey: "other"}), code: "vector_store_denied", mentions: "RAGBUS_QDRANT_API_KEY"},
		"an old server":  {address: qdranttest.Start(t, qdranttest.Options{Version: "1.15.4"}), code: "vector_store_too_old", mentions: "1.16"},
		"TLS to plain":   {address: qdranttest.Start(t, qdranttest.Options{}), scheme: "qdrants", code: "vector_store_unreachable", mentions: "qdrant:// for a plain one"},
		"not Qdrant":     {address: otherServer(t), code: "vector_store_unreachable", mentions: "no Qdrant server"},
		"not even gRPC":  {address: echoServer(t), code: "vector_store_unreachable", mentions: "RAGBUS_VECTOR_URL"},
		"a foreign name": {address: foreignCollection(t), code: "index_profile_mismatch", mentions: "not made by Ragbus"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(c.address)
			if c.scheme != "" {
				cfg.URL = c.scheme + "://" + c.address
			}
			var log bytes.Buffer
			cfg.APIKey, cfg.Logger = c.key, slog.New(slog.NewTextHandler(&log, nil))
			_, err := qdrantvector.Open(t.Context(), cfg)
			code, message := fault.Public(err)
			if !fault.Is(err, fault.Permanent) || code != c.code || !strings.Contains(message, c.mentions) {
				t.Errorf("%v (%s: %s)", err, code, message)
			}
			if err != nil && strings.Contains(err.Error()+log.String(), secret) {
				t.Errorf("the key is told: %v %s", err, &log)
			}
		})
	}
}

// otherServer speaks gRPC, but is no Qdrant.
func otherServer(t *testing.T) string {
	t.Helper()
	return serve(t, grpc.NewServer())
}

func serve(t *testing.T, s *grpc.Server) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// echoServer answers every connection with a line of text.
func echoServer(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// foreignCollection has the index's alias stand for somebody else's collection.
func foreignCollection(t *testing.T) string {
	t.Helper()
	address := qdranttest.Start(t, qdranttest.Options{})
	s := open(t, config(address))
	h, err := s.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw := rawClient(t, address)
	if err := raw.CreateCollection(t.Context(), &qdrant.CreateCollection{
		CollectionName: "somebody", VectorsConfig: qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"other": {Size: 3, Distance: qdrant.Distance_Cosine}}),
	}); err != nil {
		t.Fatal(err)
	}
	if err := raw.CreateAlias(t.Context(), h.Alias, "somebody"); err != nil {
		t.Fatal(err)
	}
	return address
}

// rawClient is the vendor's own client.
func rawClient(t *testing.T, address string) *qdrant.Client {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	c, err := qdrant.NewClient(&qdrant.Config{Host: host, Port: number, SkipCompatibilityCheck: true, PoolSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestAnotherSpaceIsRefused changes what the collection says of itself.
func TestAnotherSpaceIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   func(*qdrant.CreateCollection)
		marker   map[string]any
		code     string
		mentions string
	}{
		"dimensions": {
			change: func(c *qdrant.CreateCollection) { c.GetVectorsConfig().GetParamsMap().GetMap()["dense"].Size = 16 },
			code:   "index_profile_mismatch", mentions: "16 dimensions; the embedder has 32",
		},
		"distance": {
			change: func(c *qdrant.CreateCollection) {
				c.GetVectorsConfig().GetParamsMap().GetMap()["dense"].Distance = qdrant.Distance_Dot
			},
			code: "index_profile_mismatch", mentions: "distance Dot",
		},
		"modifier": {
			change: func(c *qdrant.CreateCollection) { c.GetSparseVectorsConfig().GetMap()["sparse"].Modifier = nil },
			code:   "index_profile_mismatch", mentions: "IDF",
		},
		"model":     {marker: map[string]any{"profile": "other-model"}, code: "index_profile_mismatch", mentions: `"other-model"; the embedder is "test-32"`},
		"analysis":  {marker: map[string]any{"profile": "test-32", "layout": 1, "lexical": 99}, code: "index_outdated", mentions: "ragbus reindex"},
		"no marker": {code: "index_profile_mismatch", mentions: "not to its end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := qdranttest.Start(t, qdranttest.Options{})
			h, err := open(t, config(address)).Health(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			raw := rawClient(t, address)
			create := &qdrant.CreateCollection{
				CollectionName: "another",
				VectorsConfig:  qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"dense": {Size: 32, Distance: qdrant.Distance_Cosine}}),
				SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{
					"sparse": {Modifier: qdrant.Modifier_Idf.Enum()},
				}),
			}
			if c.change != nil {
				c.change(create)
			}
			if err := raw.CreateCollection(t.Context(), create); err != nil {
				t.Fatal(err)
			}
			if c.marker != nil {
				copyMarker(t, raw, h.Collection, c.marker)
			}
			if err := raw.CreateAlias(t.Context(), h.Alias, "another"); err != nil {
				t.Fatal(err)
			}
			_, err = qdrantvector.Open(t.Context(), config(address))
			code, message := fault.Public(err)
			if !fault.Is(err, fault.Permanent) || code != c.code || !strings.Contains(message, c.mentions) {
				t.Errorf("%v (%s: %s)", err, code, message)
			}
		})
	}
}

// copyMarker copies the point without vectors of one collection into "another", with another payload.
func copyMarker(t *testing.T, raw *qdrant.Client, from string, payload map[string]any) {
	t.Helper()
	points, err := raw.Scroll(t.Context(), &qdrant.ScrollPoints{CollectionName: from})
	if err != nil || len(points) != 1 {
		t.Fatalf("%d points: %v", len(points), err)
	}
	if _, err := raw.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: "another", Points: []*qdrant.PointStruct{{
		Id: points[0].GetId(), Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{}), Payload: qdrant.NewValueMap(payload),
	}}}); err != nil {
		t.Fatal(err)
	}
}

func TestSeveralReplicasMayOpenAtOnce(t *testing.T) {
	t.Parallel()
	address := qdranttest.Start(t, qdranttest.Options{})
	opened := make(chan error)
	const replicas = 8
	for range replicas {
		go func() {
			s, err := qdrantvector.Open(context.WithoutCancel(t.Context()), config(address))
			if err == nil {
				err = s.Ready(context.WithoutCancel(t.Context()))
			}
			if s != nil {
				_ = s.Close()
			}
			opened <- err
		}()
	}
	for range replicas {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
	h, err := open(t, config(address)).Health(t.Context())
	if err != nil || h.Points != 1 || h.Status != "green" || h.Version != qdranttest.Version || h.IDFScope != "tenant and collections" || h.Collection != h.Alias+"_1" {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestEncryptedConnections(t *testing.T) {
	t.Parallel()
	server, client := certificates(t)
	address := qdranttest.Start(t, qdranttest.Options{APIKey: secret, Credentials: credentials.NewTLS(server)})
	cfg := config(address)
	cfg.URL, cfg.TLS, cfg.APIKey = "qdrants://"+address, client, secret
	if err := open(t, cfg).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*qdrantvector.Config){
		"an unknown authority": func(c *qdrantvector.Config) { c.TLS = nil },
		"plain to TLS":         func(c *qdrantvector.Config) { c.URL = "qdrant://" + address },
	} {
		bad := cfg
		change(&bad)
		_, err := qdrantvector.Open(t.Context(), bad)
		if code, _ := fault.Public(err); code != "vector_store_unreachable" || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}
}
