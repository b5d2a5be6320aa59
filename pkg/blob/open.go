package blob

import (
	"context"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Opener opens the buckets that URLs of one scheme name.
type Opener struct {
	// Scheme is the URL's, without a colon: "s3".
	Scheme string
	// Form shows how such a URL is written, for messages: "s3://bucket?region=…".
	Form string
	// Open opens a bucket without creating anything that costs money. Its
	// errors are faults, Invalid where the URL or the credentials must change,
	// and tell no secret.
	Open func(ctx context.Context, u *url.URL) (Backend, error)
}

// Backend is an open bucket, with what gocloud does not know about its kind.
type Backend struct {
	// Bucket is closed by [Store.Close].
	Bucket *blob.Bucket
	// Uploads makes [Store.Put] hand the body to the driver's Upload instead of
	// writing it. Only for drivers that have one: gocloud completes an object
	// of another whose body broke.
	Uploads bool
	// Diagnose reads the vendor's own error; nil leaves it to gocloud's codes.
	Diagnose func(err error) Diagnosis
	// Ready, when set, replaces listing one object as the health probe.
	Ready func(ctx context.Context) error
	// Tidy, when set, removes what writers that were killed before the given
	// time left half written, and returns how many.
	Tidy func(ctx context.Context, before time.Time) (int, error)
}

// Diagnosis is what an error of a vendor means.
type Diagnosis uint8

// The diagnoses.
const (
	// Unknown leaves an error to gocloud's code.
	Unknown Diagnosis = iota
	// Denied means credentials that are wrong, expired or not allowed to do this.
	Denied
	// NoBucket means that the bucket does not exist.
	NoBucket
	// NoObject means that the bucket is there and the object is not.
	NoObject
	// Misdirected means a wrong region or endpoint.
	Misdirected
	// Throttled means too many requests.
	Throttled
	// Full means that the bucket's quota is used up.
	Full
	// Damaged means that what is stored is not what was put.
	Damaged
)

// FileURL returns the URL of a store in a directory.
func FileURL(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fault.Invalidf(codeURL, "the blob directory cannot be resolved").WithCause(err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String(), nil
}

// Open opens the store that the URL names: file:///directory, which is made
// (mode 0700) when it is not there, mem://, which every call makes anew, or
// what one of the openers knows. It asks no server whether the bucket is
// there: [Store.Ready] does. The caller closes the store.
func Open(ctx context.Context, rawURL string, openers ...Opener) (*Store, error) {
	u, err := parse(rawURL, forms(openers))
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "file":
		return openDir(u)
	case "mem":
		return &Store{backend: Backend{Bucket: memblob.OpenBucket(nil)}}, nil
	}
	for _, o := range openers {
		if o.Scheme != u.Scheme {
			continue
		}
		backend, err := o.Open(ctx, u)
		if err != nil {
			return nil, redacted(err)
		}
		return &Store{backend: backend}, nil
	}
	return nil, fault.Invalidf(codeURL, "the blob URL's scheme %q is not known to this program; use %s (RAGBUS_BLOB_URL)", u.Scheme, forms(openers))
}

// CheckURL returns what is wrong with the form of a URL for a program that has
// openers of the schemes. Nothing is opened.
func CheckURL(rawURL string, schemes ...string) error {
	known := []string{"file", "mem"}
	known = append(known, schemes...)
	form := strings.Join(known, "://…, ") + "://…"
	u, err := parse(rawURL, form)
	if err != nil {
		return err
	}
	if !slices.Contains(known, u.Scheme) {
		return fault.Invalidf(codeURL, "RAGBUS_BLOB_URL: the scheme %q is not known; use %s", u.Scheme, form)
	}
	return nil
}

func parse(rawURL, form string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's error repeats the URL, and with it a password.
		return nil, fault.Invalidf(codeURL, "RAGBUS_BLOB_URL: the blob URL cannot be read; use %s", form)
	}
	if u.User != nil {
		return nil, fault.Invalidf(codeURL, "RAGBUS_BLOB_URL: the blob URL holds credentials; give them by the provider's own variables instead")
	}
	return u, nil
}

func forms(openers []Opener) string {
	all := []string{"file:///directory", "mem://"}
	for _, o := range openers {
		all = append(all, o.Form)
	}
	return strings.Join(all, ", ")
}

func openDir(u *url.URL) (*Store, error) {
	dir := filepath.FromSlash(u.Path)
	if u.Host != "" || !filepath.IsAbs(dir) {
		return nil, fault.Invalidf(codeURL, "the blob URL %q names no absolute directory; use file:///directory", u.Redacted())
	}
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{
		CreateDir: true,
		// Private: the files inside are not, and need not be.
		DirFileMode: 0o700,
		// A rename from another file system would fail.
		NoTempDir: true,
		// A sidecar is not written atomically: torn by a loss of power, it
		// makes its blob unreadable. The catalog has what it would say.
		Metadata: fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fault.Invalidf("blob_store_unusable", "the blob directory cannot be used").WithCause(err)
	}
	return &Store{backend: Backend{Bucket: bucket}, dir: dir}, nil
}
