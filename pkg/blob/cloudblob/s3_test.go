package cloudblob_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/blob/blobtest"
	"github.com/ragbus/ragbus/pkg/blob/cloudblob"
	"github.com/ragbus/ragbus/pkg/fault"
)

// s3Server speaks S3. It knows the access key "right" only, and answers with
// a scripted error instead while there is one.
type s3Server struct {
	*httptest.Server
	backend gofakes3.Backend
	script  atomic.Pointer[answer]
	parts   atomic.Int64
}

type answer struct {
	status int
	code   string
}

func newS3(t *testing.T) *s3Server {
	t.Helper()
	s := &s3Server{backend: s3mem.New()}
	fake := gofakes3.New(s.backend).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") {
			s.parts.Add(1)
		}
		a := s.script.Load()
		if a == nil && !strings.Contains(r.Header.Get("Authorization"), "Credential=right/") {
			a = &answer{http.StatusForbidden, "InvalidAccessKeyId"}
		}
		if a == nil {
			fake.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(a.status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>scripted</Message></Error>`, a.code)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// bucket makes a bucket and returns its URL.
func (s *s3Server) bucket(t *testing.T, name string) string {
	t.Helper()
	if err := s.backend.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	return s.url(name)
}

func (s *s3Server) url(name string) string {
	return "s3://" + name + "?endpoint=" + s.URL + "&use_path_style=true"
}

func TestS3Contract(t *testing.T) {
	t.Parallel()
	s := newS3(t)
	var n atomic.Int64
	blobtest.Run(t, func(t *testing.T) *blob.Store { return open(t, s.bucket(t, fmt.Sprintf("bucket%d", n.Add(1)))) })
}

func TestS3ContractInAFolder(t *testing.T) {
	t.Parallel()
	s := newS3(t)
	url := s.bucket(t, "bucket")
	var n atomic.Int64
	blobtest.Run(t, func(t *testing.T) *blob.Store { return open(t, fmt.Sprintf("%s&prefix=f%d/", url, n.Add(1))) })
}

func TestS3TakesLargeBodiesInParts(t *testing.T) {
	t.Parallel()
	server := newS3(t)
	s := open(t, server.bucket(t, "bucket"))
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	info := put(t, s, content)
	if n := server.parts.Load(); n != 4 {
		t.Errorf("16 MiB went in %d parts, want 4", n)
	}
	r, err := s.Read(t.Context(), key, info)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestS3DamageIsNeverServed(t *testing.T) {
	t.Parallel()
	server := newS3(t)
	s := open(t, server.bucket(t, "bucket"))
	content := bytes.Repeat([]byte("x"), 200<<10)
	for name, bad := range map[string][]byte{
		"other": append(bytes.Clone(content[1:]), 'y'), "short": content[1:], "long": append(bytes.Clone(content), 'x'), "empty": nil,
	} {
		info := put(t, s, content)
		// With it goes the checksum that the server would check.
		if _, err := server.backend.DeleteObject("bucket", key); err != nil {
			t.Fatal(err)
		}
		if _, err := server.backend.PutObject("bucket", key, map[string]string{}, bytes.NewReader(bad), int64(len(bad)), nil); err != nil {
			t.Fatal(err)
		}
		var got []byte
		r, err := s.Read(t.Context(), key, info)
		if err == nil {
			got, err = io.ReadAll(r)
			_ = r.Close()
		}
		if code, _ := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "blob_damaged" || len(got) >= len(content) {
			t.Errorf("%s: %d bytes, %s, %v", name, len(got), code, err)
		}
	}
}

// calls runs each operation of a store once.
func calls(ctx context.Context, s *blob.Store) map[string]error {
	_, _, getErr := s.Get(ctx, key)
	_, putErr := s.Put(ctx, key, strings.NewReader("x"), blob.PutOptions{})
	listErr := error(nil)
	for _, err := range s.List(ctx, "documents/") {
		listErr = err
	}
	return map[string]error{"get": getErr, "put": putErr, "delete": s.Delete(ctx, key), "list": listErr}
}

func wantAll(t *testing.T, s *blob.Store, class fault.Class, want string) {
	t.Helper()
	for name, err := range calls(t.Context(), s) {
		if code, _ := fault.Public(err); !fault.Is(err, class) || code != want {
			t.Errorf("%s: %s, %v; want %s", name, code, err, want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error tells the secret", name)
		}
	}
}

func wantUnready(t *testing.T, s *blob.Store, class fault.Class, want string) {
	t.Helper()
	err := s.Ready(t.Context())
	code, message := fault.Public(err)
	if !fault.Is(err, class) || code != want || class == fault.Invalid && !strings.Contains(message, "RAGBUS_BLOB_URL") {
		t.Errorf("ready: %s %q, %v; want %s", code, message, err, want)
	}
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Error("the error tells the secret")
	}
}

func TestS3WrongKey(t *testing.T) {
	t.Parallel()
	server := newS3(t)
	s := open(t, server.bucket(t, "bucket")+"&profile=stranger")
	wantAll(t, s, fault.Transient, "blob_store_denied")
	wantUnready(t, s, fault.Invalid, "blob_store_denied")
}

func TestS3MissingBucket(t *testing.T) {
	t.Parallel()
	s := open(t, newS3(t).url("absent"))
	wantAll(t, s, fault.Transient, "blob_bucket_missing")
	wantUnready(t, s, fault.Invalid, "blob_bucket_missing")
}

func TestS3Errors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer answer
		class  fault.Class
		code   string
		ready  fault.Class
	}{
		"denied":       {answer{http.StatusForbidden, "AccessDenied"}, fault.Transient, "blob_store_denied", fault.Invalid},
		"expired":      {answer{http.StatusBadRequest, "ExpiredToken"}, fault.Transient, "blob_store_denied", fault.Invalid},
		"signature":    {answer{http.StatusForbidden, "SignatureDoesNotMatch"}, fault.Transient, "blob_store_denied", fault.Invalid},
		"wrong region": {answer{http.StatusMovedPermanently, "PermanentRedirect"}, fault.Transient, "invalid_blob_url", fault.Invalid},
		"full":         {answer{http.StatusInsufficientStorage, "XMinioStorageFull"}, fault.Transient, "storage_full", fault.Transient},
		"odd":          {answer{http.StatusConflict, "OperationAborted"}, fault.Transient, "blob_store_away", fault.Transient},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newS3(t)
			s := open(t, server.bucket(t, "bucket"))
			server.script.Store(&tt.answer)
			wantAll(t, s, tt.class, tt.code)
			wantUnready(t, s, tt.ready, tt.code)
			server.script.Store(nil)
			put(t, s, []byte("x"))
			if err := s.Ready(t.Context()); err != nil {
				t.Errorf("after it is mended: %v", err)
			}
		})
	}
}

func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	server := newS3(t)
	url := server.url("bucket")
	server.Close()
	s := open(t, url)
	err := s.Ready(t.Context())
	if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "blob_store_away" {
		t.Errorf("%s, %v", code, err)
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"s3://", "s3://bucket/folder?region=x", "s3://bucket", "s3://bucket?region=x&colour=red", "s3://bucket?region=x&prefix=folder",
		"s3://bucket?region=x&prefix=../", "s3://bucket?region=x&use_path_style=perhaps", "s3://bucket?region=x&profile=absent",
		"s3://right:" + secret + "@bucket?region=x",
		"gs://", "gs://bucket/folder", "gs://bucket?grpc=true", "gs://bucket?colour=red", "gs://bucket",
		"azblob://", "azblob://bucket/folder", "azblob://bucket?colour=red", "azblob://bucket?protocol=gopher",
		"ftp://bucket",
	} {
		s, err := blob.Open(t.Context(), url, cloudblob.Openers()...)
		if err == nil {
			_ = s.Close()
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "RAGBUS_BLOB_URL") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v", url, err)
		}
		t.Log(err)
	}
}
