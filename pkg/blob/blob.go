// Package blob keeps the bytes of documents in an object store: a directory
// or memory today, through gocloud.dev/blob, whose other buckets fit in the
// same place. blobtest is the contract suite.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Store keeps blobs. All methods are safe for concurrent use by any number
// of processes and return classified errors: a missing blob is a NotFound
// fault "blob_not_found", a store that is away is Transient.
type Store struct {
	bucket *blob.Bucket
	// dir is the directory of a file store, else "".
	dir string
}

// PutOptions says what is put.
type PutOptions struct {
	// MaxBytes is the largest body that is taken; 0 is no limit.
	MaxBytes int64
	// MediaType is kept where the store can; what is no media type is dropped.
	MediaType string
}

// Info describes a blob.
type Info struct {
	Bytes int64
	// SHA256 is the lower-case hex digest. Only [Store.Put] knows it: a store
	// must be told a blob's attributes before its first byte.
	SHA256 string
	// ModTime is when the blob was put; zero from [Store.Put].
	ModTime time.Time
}

// Item is a blob in a listing.
type Item struct {
	Key     string
	Bytes   int64
	ModTime time.Time
}

// FileURL returns the URL of a store in a directory.
func FileURL(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("resolve blob directory: %w", err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String(), nil
}

// Open opens the store that the URL names: file:///directory, which is made
// (mode 0700) when it is not there, or mem://, which every call makes anew.
// The caller closes it.
func Open(_ context.Context, rawURL string) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fault.Invalidf("invalid_blob_url", "the blob URL cannot be read").WithCause(err)
	}
	switch u.Scheme {
	case "file":
		return openDir(u)
	case "mem":
		return &Store{bucket: memblob.OpenBucket(nil)}, nil
	}
	return nil, fault.Invalidf("invalid_blob_url", "the blob URL %q is not known; use file:///directory or mem://", u.Redacted())
}

func openDir(u *url.URL) (*Store, error) {
	dir := filepath.FromSlash(u.Path)
	if u.Host != "" || !filepath.IsAbs(dir) {
		return nil, fault.Invalidf("invalid_blob_url", "the blob URL %q names no absolute directory; use file:///directory", u.Redacted())
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
	return &Store{bucket: bucket, dir: dir}, nil
}

// Close closes the store.
func (s *Store) Close() error {
	if err := s.bucket.Close(); err != nil {
		return fmt.Errorf("close blob store: %w", err)
	}
	return nil
}

// Put writes what r yields, in one pass with little memory, and returns its
// size and digest. A blob is there whole or not at all: a body beyond
// MaxBytes (an Invalid fault "body_too_large"), an error of r, which is
// returned as it is, or the end of ctx leave nothing. Writing a key again
// replaces it in one step.
//
// When Put returns, a loss of power does not lose the blob: gocloud renames
// without syncing, so a file store syncs the file before and the directories
// after.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, opts PutOptions) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	info, err := s.put(ctx, toStored(key), r, opts)
	if err != nil {
		return Info{}, fmt.Errorf("put blob: %w", err)
	}
	return info, nil
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, opts PutOptions) (info Info, err error) {
	// Ending this context before the close is how a write is given up.
	writing, abandon := context.WithCancel(ctx)
	defer abandon()
	var file *os.File
	w, err := s.bucket.NewWriter(writing, key, &blob.WriterOptions{
		ContentType: mediaType(opts.MediaType),
		BeforeWrite: func(as func(any) bool) error {
			as(&file)
			return nil
		},
	})
	if err != nil {
		return Info{}, classify(err)
	}
	info, err = copyHashed(ctx, w, r, opts.MaxBytes)
	if err == nil && s.dir != "" {
		err = syncFile(file)
	}
	if err != nil {
		abandon()
		// It fails because it was abandoned; what matters is why.
		_ = w.Close()
		return Info{}, err
	}
	if err := w.Close(); err != nil {
		return Info{}, classify(err)
	}
	return info, s.syncDirs(key)
}

func syncFile(file *os.File) error {
	if file == nil {
		return fault.Permanentf("blob_store_unusable", "the blob directory gave no file to sync")
	}
	return classify(file.Sync())
}

func mediaType(declared string) string {
	if _, _, err := mime.ParseMediaType(declared); err != nil {
		return "application/octet-stream"
	}
	return declared
}

// copySize is how much of a body is in memory.
const copySize = 64 << 10

func copyHashed(ctx context.Context, w io.Writer, r io.Reader, limit int64) (Info, error) {
	var (
		info   Info
		digest = sha256.New()
		buf    = make([]byte, copySize)
	)
	for {
		if err := ctx.Err(); err != nil {
			return Info{}, err
		}
		n, readErr := r.Read(buf)
		info.Bytes += int64(n)
		if limit > 0 && info.Bytes > limit {
			return Info{}, fault.Invalidf("body_too_large", "the body is larger than %d bytes", limit)
		}
		digest.Write(buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return Info{}, classify(err)
		}
		if errors.Is(readErr, io.EOF) {
			info.SHA256 = hex.EncodeToString(digest.Sum(nil))
			return info, nil
		}
		if readErr != nil {
			return Info{}, readErr
		}
	}
}

// syncDirs makes the names of a new file, and of the directories that may be
// new with it, as durable as its bytes.
func (s *Store) syncDirs(key string) error {
	if s.dir == "" {
		return nil
	}
	path := filepath.Join(s.dir, filepath.FromSlash(key))
	for path != s.dir && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		if err := syncDir(path); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path) //nolint:gosec // below the store's own directory
	if err != nil {
		return classify(err)
	}
	return classify(errors.Join(d.Sync(), d.Close()))
}

// Get returns a reader of the blob, which the caller closes, and its size.
// It reads until ctx ends.
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	if err := checkKey(key); err != nil {
		return nil, Info{}, err
	}
	r, err := s.bucket.NewReader(ctx, toStored(key), nil)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get blob: %w", classify(err))
	}
	return r, Info{Bytes: r.Size(), ModTime: r.ModTime()}, nil
}

// Delete removes a blob. One that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := s.remove(ctx, toStored(key)); err != nil {
		return fmt.Errorf("delete blob: %w", err)
	}
	return nil
}

func (s *Store) remove(ctx context.Context, stored string) error {
	err := s.bucket.Delete(ctx, stored)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return classify(err)
}

// DeletePrefix removes every blob below a [Prefix] but keep, which may be "".
// It also removes uploads that are written but not yet accepted; who must
// spare those deletes by key, as the catalog lists them.
func (s *Store) DeletePrefix(ctx context.Context, prefix, keep string) error {
	for item, err := range s.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if item.Key == keep {
			continue
		}
		if err := s.Delete(ctx, item.Key); err != nil {
			return err
		}
	}
	return nil
}

// List yields the blobs below a [Prefix], or below a tenant or all, in the
// order of their keys, and stops after an error.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for o, err := range s.objects(ctx, prefix) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			item := Item{Key: fromStored(o.Key), Bytes: o.Size, ModTime: o.ModTime}
			// What is no key is a file that is being written.
			if checkKey(item.Key) == nil && !yield(item, nil) {
				return
			}
		}
	}
}

func (s *Store) objects(ctx context.Context, prefix string) iter.Seq2[*blob.ListObject, error] {
	return func(yield func(*blob.ListObject, error) bool) {
		if err := checkPrefix(prefix); err != nil {
			yield(nil, err)
			return
		}
		objects := s.bucket.List(&blob.ListOptions{Prefix: toStored(prefix)})
		for {
			o, err := objects.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("list blobs: %w", classify(err)))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

// temporary is how gocloud's file bucket names what is not whole yet.
const temporary = ".tmp"

// Tidy removes what writers that were killed before now left half written,
// and returns how much. Pass a time before which no living Put began. It
// reads the whole listing.
func (s *Store) Tidy(ctx context.Context, before time.Time) (int, error) {
	removed := 0
	if s.dir == "" {
		return 0, nil
	}
	for o, err := range s.objects(ctx, root) {
		if err != nil {
			return removed, err
		}
		if !strings.HasSuffix(o.Key, temporary) || !o.ModTime.Before(before) {
			continue
		}
		if err := s.remove(ctx, o.Key); err != nil {
			return removed, fmt.Errorf("remove half-written blob: %w", err)
		}
		removed++
	}
	return removed, nil
}

// Ready returns nil when the store answers.
func (s *Store) Ready(ctx context.Context) error {
	if s.dir != "" {
		// The bucket takes a directory that has vanished for an empty one.
		if _, err := os.Stat(s.dir); err != nil {
			return fmt.Errorf("blob store: %w", fault.As(fault.Transient, err))
		}
		return nil
	}
	ok, err := s.bucket.IsAccessible(ctx)
	if err != nil {
		return fmt.Errorf("blob store: %w", classify(err))
	}
	if !ok {
		return fault.Transientf("blob_store_away", "the blob store does not answer")
	}
	return nil
}

// classify gives an error of gocloud or the file system its class.
func classify(err error) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*fault.Error](err); known {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Transientf("storage_full", "the server has no space left").WithCause(err)
	}
	switch gcerrors.Code(err) { //nolint:exhaustive // the others may pass
	case gcerrors.NotFound:
		return fault.NotFoundf("blob_not_found", "there is no such blob").WithCause(err)
	case gcerrors.InvalidArgument, gcerrors.Unimplemented:
		return fault.As(fault.Permanent, err)
	case gcerrors.ResourceExhausted:
		return fault.ThrottledFor(0, err)
	}
	return fault.As(fault.Transient, err)
}
