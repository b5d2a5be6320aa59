package cloudblob_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/blob/blobtest"
	"github.com/ragbus/ragbus/pkg/fault"
)

// newGCS starts a server that speaks Google's protocol, and tells the
// client's library of it, for the test and what it runs.
func newGCS(t *testing.T) *fakestorage.Server {
	t.Helper()
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{Scheme: "http", Host: "127.0.0.1", Writer: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(server.URL(), "http://"))
	return server
}

func TestGCSContract(t *testing.T) { //nolint:paralleltest // it sets the environment
	server := newGCS(t)
	var n atomic.Int64
	blobtest.Run(t, func(t *testing.T) *blob.Store {
		name := fmt.Sprintf("bucket%d", n.Add(1))
		server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: name})
		return open(t, "gs://"+name+"?prefix=ragbus/")
	})
}

func TestGCSMissingBucket(t *testing.T) { //nolint:paralleltest // it sets the environment
	newGCS(t)
	s := open(t, "gs://absent")
	wantAll(t, s, fault.Transient, "blob_bucket_missing")
	wantUnready(t, s, fault.Invalid, "blob_bucket_missing")
}

func TestGCSDenied(t *testing.T) { //nolint:paralleltest // it sets the environment
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"error":{"code":403,"message":"x@y.iam.gserviceaccount.com does not have storage.objects.list access to the Google Cloud Storage bucket.",`+
			`"errors":[{"message":"denied","domain":"global","reason":"forbidden"}]}}`)
	}))
	t.Cleanup(server.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(server.URL, "http://"))
	s := open(t, "gs://bucket")
	wantAll(t, s, fault.Transient, "blob_store_denied")
	wantUnready(t, s, fault.Invalid, "blob_store_denied")
}
