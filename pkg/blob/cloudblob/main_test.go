package cloudblob_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/blob/cloudblob"
)

// secret must never be in an error.
const secret = "hush-2f5c1b7e"

const credentials = `[default]
aws_access_key_id = right
aws_secret_access_key = ` + secret + `
[stranger]
aws_access_key_id = stranger
aws_secret_access_key = ` + secret + `
`

func TestMain(m *testing.M) {
	if err := environment(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// OpenCensus, which Google's client brings, never ends its worker.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// environment makes the vendors' libraries see nothing of this machine.
func environment() error {
	dir, err := os.MkdirTemp("", "cloudblob")
	if err != nil {
		return err
	}
	shared := filepath.Join(dir, "credentials")
	if err := os.WriteFile(shared, []byte(credentials), 0o600); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": shared, "AWS_CONFIG_FILE": filepath.Join(dir, "config"), "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
		"AZURE_STORAGE_ACCOUNT": "account", "AZURE_STORAGE_KEY": "aHVzaC0yZjVjMWI3ZQ==",
		"GOOGLE_APPLICATION_CREDENTIALS": filepath.Join(dir, "absent"),
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

func open(t *testing.T, url string) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), url, cloudblob.Openers()...)
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

const key = "documents/acme/d/u"

func put(t *testing.T, s *blob.Store, content []byte) blob.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, bytes.NewReader(content), blob.PutOptions{MediaType: "application/pdf"})
	if err != nil {
		t.Fatal(err)
	}
	return info
}
