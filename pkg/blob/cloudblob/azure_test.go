package cloudblob_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/fault"
)

// newAzure answers every request as Azure does, with one error, and returns
// the URL of a container there, in the form that its emulator takes.
func newAzure(t *testing.T, status int, code string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if !strings.HasPrefix(r.URL.Path, "/account/container") || !strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey account:") {
			t.Errorf("%s %s with %q", r.Method, r.URL.Path, r.Header.Get("Authorization"))
		}
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Ms-Error-Code", code)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>scripted</Message></Error>`, code)
		}
	}))
	t.Cleanup(server.Close)
	return "azblob://container?protocol=http&localemu=true&domain=" + strings.TrimPrefix(server.URL, "http://")
}

func TestAzureErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		code   string
		want   string
	}{
		"wrong key":   {http.StatusForbidden, "AuthenticationFailed", "blob_store_denied"},
		"no role":     {http.StatusForbidden, "AuthorizationPermissionMismatch", "blob_store_denied"},
		"firewall":    {http.StatusForbidden, "AuthorizationFailure", "blob_store_denied"},
		"no bucket":   {http.StatusNotFound, "ContainerNotFound", "blob_bucket_missing"},
		"in deletion": {http.StatusConflict, "ContainerBeingDeleted", "blob_bucket_missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newAzure(t, tt.status, tt.code))
			wantAll(t, s, fault.Transient, tt.want)
			wantUnready(t, s, fault.Invalid, tt.want)
		})
	}
}

func TestAzureMissingBlob(t *testing.T) {
	t.Parallel()
	s := open(t, newAzure(t, http.StatusNotFound, "BlobNotFound"))
	_, _, err := s.Get(t.Context(), key)
	if code, _ := fault.Public(err); !fault.Is(err, fault.NotFound) || code != "blob_not_found" {
		t.Errorf("%s, %v", code, err)
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	if _, err := s.Put(t.Context(), key, strings.NewReader("x"), blob.PutOptions{}); err == nil {
		t.Error("an upload that was refused succeeded")
	}
}
