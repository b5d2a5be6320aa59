// Package blob keeps the bytes of documents in an object store, through
// gocloud.dev/blob. A directory and memory are built in; natsblob adds the
// object store of NATS and cloudblob those of S3, Google Cloud Storage and
// Azure, each as an [Opener] that main passes to [Open], so that a program
// links only what it can use. blobtest is the contract suite of all of them.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"os"
	"path/filepath"
	"time"

	"gocloud.dev/blob"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Store keeps blobs. All methods are safe for concurrent use by any number
// of processes and return classified errors: a missing blob is a NotFound
// fault "blob_not_found", and whatever the store's operator can mend, a store
// that is away ("blob_store_away"), a missing bucket ("blob_bucket_missing")
// or refused credentials ("blob_store_denied"), is Transient: work waits for it.
type Store struct {
	backend Backend
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

// Close closes the store.
func (s *Store) Close() error {
	if err := s.backend.Bucket.Close(); err != nil {
		return fmt.Errorf("close blob store: %w", redacted(err))
	}
	return nil
}

// partSize is how much of an upload a cloud's driver holds in memory: the
// smallest part that S3 takes. One part at a time: uploads come side by side.
const partSize = 5 << 20

// Put writes what r yields, in one pass with little memory, and returns its
// size and digest. A blob is there whole or not at all: a body beyond
// MaxBytes (an Invalid fault "body_too_large"), an error of r, which is
// returned as it is, or the end of ctx (a Transient fault, of its cause) leave
// nothing. Writing a key again replaces it in one step.
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
		if errors.Is(err, ctx.Err()) { // whether the body was stopped by it, or the driver
			err = fault.As(fault.Transient, context.Cause(ctx))
		}
		return Info{}, fmt.Errorf("put blob: %w", err)
	}
	return info, nil
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, opts PutOptions) (Info, error) {
	// Ending this context before the close is how a write is given up.
	writing, abandon := context.WithCancel(ctx)
	defer abandon()
	var file *os.File
	body := &hashed{ctx: ctx, r: r, limit: opts.MaxBytes, digest: sha256.New()}
	options := &blob.WriterOptions{
		ContentType:    mediaType(opts.MediaType),
		BufferSize:     partSize,
		MaxConcurrency: 1,
		BeforeWrite: func(as func(any) bool) error {
			as(&file)
			return nil
		},
	}
	if s.backend.Uploads {
		if err := s.backend.Bucket.Upload(writing, key, body, options); err != nil && body.err == nil {
			return Info{}, s.writeFault(err)
		}
		return body.info(), body.err
	}
	w, err := s.backend.Bucket.NewWriter(writing, key, options)
	if err != nil {
		return Info{}, s.writeFault(err)
	}
	err = s.copyTo(w, body)
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
		return Info{}, s.writeFault(err)
	}
	return body.info(), s.syncDirs(key)
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

func (s *Store) copyTo(w io.Writer, body *hashed) error {
	buf := make([]byte, copySize)
	for {
		n, readErr := body.Read(buf)
		if _, err := w.Write(buf[:n]); err != nil {
			return s.writeFault(err)
		}
		if errors.Is(readErr, io.EOF) {
			return nil
		}
		if readErr != nil {
			return body.err
		}
	}
}

// errBroken is what a driver sees of a body's error: some take
// io.ErrUnexpectedEOF, with which a client that went away ends, for a good end.
var errBroken = errors.New("the body is broken")

// hashed is a body that counts and digests itself. After an error other than
// its end, err says why.
type hashed struct {
	ctx    context.Context //nolint:containedctx // a reader has no other way to be told
	r      io.Reader
	limit  int64
	bytes  int64
	digest hash.Hash
	err    error
}

func (h *hashed) Read(p []byte) (int, error) {
	if h.err == nil {
		h.err = h.ctx.Err()
	}
	if h.err != nil {
		return 0, errBroken
	}
	n, err := h.r.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, io.EOF) {
		h.err = err
	}
	h.bytes += int64(n)
	if h.limit > 0 && h.bytes > h.limit {
		h.err = fault.Invalidf("body_too_large", "the body is larger than %d bytes", h.limit)
	}
	if h.err != nil {
		return 0, errBroken
	}
	h.digest.Write(p[:n])
	return n, err //nolint:wrapcheck // nil or io.EOF
}

func (h *hashed) info() Info {
	if h.err != nil {
		return Info{}
	}
	return Info{Bytes: h.bytes, SHA256: hex.EncodeToString(h.digest.Sum(nil))}
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
	err := s.readFault(ctx, s.backend.Bucket.Delete(ctx, stored))
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// Ready returns nil when the bucket answers and may be listed. It fails with
// an Invalid fault that names RAGBUS_BLOB_URL when somebody must change
// something ("blob_store_denied", "blob_bucket_missing",
// "invalid_blob_url"), else with a Transient one. It costs one request.
func (s *Store) Ready(ctx context.Context) error {
	err := s.ready(ctx)
	if err == nil {
		return nil
	}
	switch code, message := fault.Public(err); code {
	case codeDenied, codeBucketMissing, codeURL:
		return fmt.Errorf("blob store: %w", fault.New(fault.Invalid, code, message).WithCause(err))
	}
	return fmt.Errorf("blob store: %w", err)
}

func (s *Store) ready(ctx context.Context) error {
	if s.dir != "" {
		// The bucket takes a directory that has vanished for an empty one.
		if _, err := os.Stat(s.dir); err != nil {
			return fault.Transientf(codeAway, "the blob directory is away").WithCause(err)
		}
		return nil
	}
	if s.backend.Ready != nil {
		return s.classify(s.backend.Ready(ctx))
	}
	// Not IsAccessible: it takes refused credentials for a missing bucket.
	_, _, err := s.backend.Bucket.ListPage(ctx, blob.FirstPageToken, 1, nil)
	if fault.Is(s.classify(err), fault.NotFound) {
		return bucketMissing(err)
	}
	return s.classify(err)
}
