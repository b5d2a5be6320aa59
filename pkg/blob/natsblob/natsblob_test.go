package natsblob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/blob/blobtest"
	"github.com/ragbus/ragbus/pkg/blob/natsblob"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, js jetstream.JetStream, url string) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), url, natsblob.Opener(js))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t *testing.T, s *blob.Store, key string, content []byte) blob.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, bytes.NewReader(content), blob.PutOptions{MediaType: "application/pdf"})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// some returns n random bytes.
func some(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

const key = "documents/acme/d/u"

func TestContract(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	var n atomic.Int64
	blobtest.Run(t, func(t *testing.T) *blob.Store {
		return open(t, b.JS, fmt.Sprintf("nats://blobs%d", n.Add(1)))
	})
}

// chunksLeft counts what a bucket's stream holds but names.
func chunksLeft(t *testing.T, js jetstream.JetStream, bucket string) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), "OBJ_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("$O."+bucket+".C.>"))
	if err != nil {
		t.Fatal(err)
	}
	var n uint64
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

func TestNothingStaysOfWhatIsReplacedDeletedOrGivenUp(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := open(t, b.JS, "nats://blobs")
	put(t, s, key, some(t, 1<<20))
	put(t, s, key, some(t, 300<<10))
	if n := chunksLeft(t, b.JS, "blobs"); n != 3 {
		t.Errorf("%d chunks after a replacement, want 3", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	broken := io.MultiReader(bytes.NewReader(some(t, 1<<20)), readFunc(func([]byte) (int, error) {
		cancel()
		return 1, nil
	}))
	if _, err := s.Put(ctx, key, broken, blob.PutOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := chunksLeft(t, b.JS, "blobs"); n != 3 {
		t.Errorf("%d chunks after a cancelled upload, want 3", n)
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	stream, err := b.JS.Stream(t.Context(), "OBJ_blobs")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d messages stay of a deleted blob", n)
	}
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestTheClientOfNATSReadsAndWritesTheSame(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := open(t, b.JS, "nats://blobs")
	content := some(t, 500<<10)
	put(t, s, key, content)
	theirs, err := b.JS.ObjectStore(t.Context(), "blobs")
	if err != nil {
		t.Fatal(err)
	}
	got, err := theirs.GetBytes(t.Context(), key)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("their client reads %d bytes, %v", len(got), err)
	}
	if info, err := theirs.GetInfo(t.Context(), key); err != nil || info.Headers.Get("Content-Type") != "application/pdf" || info.Chunks != 4 {
		t.Errorf("got %+v, %v", info, err)
	}
	other := "documents/acme/d/theirs"
	if _, err := theirs.PutBytes(t.Context(), other, content); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Get(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("we read %d bytes, %v", len(got), err)
	}
	// Their tombstone is no object.
	if err := theirs.Delete(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(t.Context(), other); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestDamageIsNeverServed(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	stream := func(t *testing.T, bucket string) (jetstream.Stream, *jetstream.RawStreamMsg) {
		t.Helper()
		s, err := b.JS.Stream(t.Context(), "OBJ_"+bucket)
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.GetMsg(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		return s, second
	}
	tests := map[string]struct {
		damage func(t *testing.T, bucket string)
		class  fault.Class
		code   string
	}{
		"a chunk is gone": {func(t *testing.T, bucket string) {
			s, m := stream(t, bucket)
			if err := s.DeleteMsg(t.Context(), m.Sequence); err != nil {
				t.Fatal(err)
			}
		}, fault.Transient, "blob_cut"},
		"a chunk is another": {func(t *testing.T, bucket string) {
			s, m := stream(t, bucket)
			if err := s.DeleteMsg(t.Context(), m.Sequence); err != nil {
				t.Fatal(err)
			}
			if _, err := b.JS.Publish(t.Context(), m.Subject, some(t, len(m.Data))); err != nil {
				t.Fatal(err)
			}
		}, fault.Permanent, "blob_damaged"},
	}
	n := 0
	for name, tt := range tests {
		n++
		bucket := fmt.Sprintf("damaged%d", n)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, b.JS, "nats://"+bucket)
			content := some(t, 500<<10)
			info := put(t, s, key, content)
			tt.damage(t, bucket)
			r, err := s.Read(t.Context(), key, info)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }()
			got, err := io.ReadAll(r)
			code, _ := fault.Public(err)
			if !fault.Is(err, tt.class) || code != tt.code || len(got) >= len(content) {
				t.Errorf("%d of %d bytes, %s, %v", len(got), len(content), code, err)
			}
		})
	}
}

func TestChunksOfKilledWritersAreTidied(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := open(t, b.JS, "nats://blobs")
	content := some(t, 500<<10)
	put(t, s, key, content)
	if _, err := b.JS.Publish(t.Context(), "$O.blobs.C.killed", some(t, 100)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		before time.Time
		want   int
	}{{time.Now().Add(-time.Hour), 0}, {time.Now().Add(time.Hour), 1}, {time.Now().Add(time.Hour), 0}} {
		if n, err := s.Tidy(t.Context(), step.before); err != nil || n != step.want {
			t.Errorf("%d uploads are tidied, %v; want %d", n, err, step.want)
		}
	}
	r, _, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestAListingHasPages(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := open(t, b.JS, "nats://blobs")
	var want []string
	for i := range 1003 {
		k := fmt.Sprintf("documents/acme/d/u%04d", i)
		put(t, s, k, []byte("x"))
		want = append(want, k)
	}
	var got []string
	for item, err := range s.List(t.Context(), "documents/acme/d/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, item.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for _, url := range []string{
		"nats://", "nats://a.b", "nats://a/b", "nats://blobs?replicas=9", "nats://blobs?replicas=x", "nats://blobs?max_bytes=0",
		"nats://blobs?storage=tape", "nats://blobs?create=perhaps", "nats://blobs?colour=red", "nats://user:secret@blobs",
		"nats://absent?create=false",
		// One server cannot keep three copies.
		"nats://three?replicas=3",
	} {
		_, err := blob.Open(t.Context(), url, natsblob.Opener(b.JS))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "RAGBUS_BLOB_URL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

func TestABucketThatIsThereIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	if _, err := b.JS.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "blobs", MaxBytes: 1 << 20, Description: "theirs"}); err != nil {
		t.Fatal(err)
	}
	s := open(t, b.JS, "nats://blobs?max_bytes=5&create=false")
	put(t, s, key, some(t, 100<<10))
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := s.Put(t.Context(), "documents/acme/d/large", bytes.NewReader(some(t, 2<<20)), blob.PutOptions{})
	if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "storage_full" {
		t.Errorf("%s, %v", code, err)
	}
	if n := chunksLeft(t, b.JS, "blobs"); n != 1 {
		t.Errorf("%d chunks are left, want 1", n)
	}
}

func TestABucketThatVanishedIsNotAMissingBlob(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	s := open(t, b.JS, "nats://blobs")
	if err := b.JS.DeleteObjectStore(t.Context(), "blobs"); err != nil {
		t.Fatal(err)
	}
	_, _, getErr := s.Get(t.Context(), key)
	_, putErr := s.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{})
	for _, err := range []error{getErr, putErr, s.Delete(t.Context(), key)} {
		if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "blob_bucket_missing" {
			t.Errorf("%s, %v", code, err)
		}
	}
	err := s.Ready(t.Context())
	if code, message := fault.Public(err); !fault.Is(err, fault.Invalid) || code != "blob_bucket_missing" || !strings.Contains(message, "RAGBUS_BLOB_URL") {
		t.Errorf("%s %s, %v", code, message, err)
	}
}
