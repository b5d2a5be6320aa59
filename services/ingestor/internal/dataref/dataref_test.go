package dataref

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/fault"
)

func TestOpenReadsOnlyBelowTheAllowedFolders(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	allowed, outside := filepath.Join(base, "in"), filepath.Join(base, "out")
	for _, d := range []string{filepath.Join(allowed, "sub"), outside, allowed + "ternative"} {
		must(t, os.MkdirAll(d, 0o700))
	}
	for _, f := range []string{filepath.Join(allowed, "sub", "a b.md"), filepath.Join(outside, "secret"), filepath.Join(allowed+"ternative", "x")} {
		must(t, os.WriteFile(f, []byte("text"), 0o600))
	}
	must(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(allowed, "link")))
	must(t, os.Symlink(outside, filepath.Join(allowed, "dir")))
	must(t, os.Symlink("sub/a b.md", filepath.Join(allowed, "inner")))
	must(t, os.Symlink("circle", filepath.Join(allowed, "circle")))
	o, err := New([]string{"file://" + allowed})
	must(t, err)
	for _, c := range []struct{ ref, code string }{
		{"file://" + allowed + "/sub/a%20b.md", ""},
		{"file://localhost" + allowed + "/inner", ""},
		{"file://" + allowed + "/sub/../sub/a%20b.md", ""},
		{"file://" + allowed + "/../out/secret", "dataref_not_allowed"},
		{"file://" + allowed + "/%2e%2e/out/secret", "dataref_not_allowed"},
		{"file://" + allowed + "ternative/x", "dataref_not_allowed"},
		{"file://" + allowed + "/link", "dataref_not_allowed"},
		{"file://" + allowed + "/dir/secret", "dataref_not_allowed"},
		{"file://" + allowed + "/missing", "dataref_not_found"},
		{"file://" + allowed + "/sub", "dataref_not_found"},
		{"file://" + allowed + "/inner%00.txt", "dataref_not_found"},
		{"file://" + allowed + "/" + strings.Repeat("x", 300), "dataref_not_found"},
		{"file://" + allowed + "/inner/x", "dataref_not_found"},
		{"file://" + allowed + "/inner/", ""},
		{"file://" + allowed + "/circle", "dataref_not_found"},
		{"file:///etc/passwd", "dataref_not_allowed"},
		{"file://host" + allowed + "/inner", "dataref_not_allowed"},
		{"http://169.254.169.254/latest", "dataref_not_allowed"},
		{"inner", "dataref_not_allowed"},
		{"", "dataref_not_allowed"},
		{"file://%zz", "dataref_not_allowed"},
	} {
		f, name, err := o.Open(t.Context(), c.ref)
		if err == nil {
			must(t, f.Close())
		}
		code := ""
		if err != nil {
			code, _ = fault.Public(err)
			if fault.Of(err) != fault.Invalid {
				t.Errorf("%s: class %s", c.ref, fault.Of(err))
			}
		}
		if code != c.code || err == nil && name == "" {
			t.Errorf("%s: code %q (%v), want %q", c.ref, code, err, c.code)
		}
	}
}

func TestNewRefusesWhatIsNoFolder(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"/srv", "file:///", "file:///srv/..", "s3://bucket", "file://srv/x", "file:///a?b"} {
		if _, err := New([]string{p}); err == nil {
			t.Errorf("%q was accepted", p)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("file:///tmp/../etc/passwd")
	f.Add("file:////x")
	dir, err := os.MkdirTemp(f.TempDir(), "empty")
	if err != nil {
		f.Fatal(err)
	}
	o, err := New([]string{"file://" + dir})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if file, _, err := o.Open(t.Context(), ref); err == nil {
			_ = file.Close()
			t.Fatalf("%q opened something in an empty folder", ref)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
