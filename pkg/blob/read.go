package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Get returns a reader of the blob, which the caller closes, and its size. It
// reads until ctx ends. A stream that ends before that size ends with a
// Transient fault "blob_cut" and not with [io.EOF].
//
// Who knows the blob's digest uses [Store.Read].
func (s *Store) Get(ctx context.Context, key string) (io.ReadCloser, Info, error) {
	if err := checkKey(key); err != nil {
		return nil, Info{}, err
	}
	r, err := s.backend.Bucket.NewReader(ctx, toStored(key), nil)
	if err != nil {
		return nil, Info{}, fmt.Errorf("get blob: %w", s.readFault(ctx, err))
	}
	info := Info{Bytes: r.Size(), ModTime: r.ModTime()}
	return &sized{ReadCloser: r, store: s, left: info.Bytes}, info, nil
}

// Read is [Store.Get] of a blob of which size and digest are known: one of
// another size is refused at once, and the reader holds its last bytes back
// until all of them are proven. Whoever copies it to the end without an error
// has exactly the bytes that were put; damaged ones end with a Permanent
// fault "blob_damaged" and are never whole.
func (s *Store) Read(ctx context.Context, key string, want Info) (io.ReadCloser, error) {
	r, info, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := sameSize(r, info.Bytes, want); err != nil {
		return nil, err
	}
	return Verify(r, want), nil
}

// Part is some bytes of a blob, at least one.
type Part struct {
	Offset int64
	Bytes  int64
}

// ReadPart is [Store.Read] of a part, which lies within the blob: any other
// is an Invalid fault "invalid_part". A part cannot be proven, since the
// digest is of the whole: only the sizes of both are. What it costs to come to
// the offset is the store's affair; that of NATS passes over all before it.
func (s *Store) ReadPart(ctx context.Context, key string, want Info, part Part) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if part.Offset < 0 || part.Bytes < 1 || part.Offset >= want.Bytes || part.Bytes > want.Bytes-part.Offset {
		return nil, fault.Invalidf("invalid_part", "a part of %d bytes from byte %d is not within a blob of %d bytes", part.Bytes, part.Offset, want.Bytes)
	}
	r, err := s.backend.Bucket.NewRangeReader(ctx, toStored(key), part.Offset, part.Bytes, nil)
	if err != nil {
		return nil, fmt.Errorf("read part of blob: %w", s.readFault(ctx, err))
	}
	if err := sameSize(r, r.Size(), want); err != nil {
		return nil, err
	}
	return &sized{ReadCloser: r, store: s, left: part.Bytes}, nil
}

// sameSize closes a reader of a blob that has another size than is known of it.
func sameSize(r io.Closer, size int64, want Info) error {
	if size == want.Bytes {
		return nil
	}
	// It was only opened.
	_ = r.Close()
	return fmt.Errorf("read blob: %w", damaged(fmt.Errorf("the store has %d bytes instead of %d", size, want.Bytes)))
}

// Verify returns a reader of what r yields that ends well only when size and
// digest are those of want; see [Store.Read]. Closing it closes r.
func Verify(r io.ReadCloser, want Info) io.ReadCloser {
	return &verified{r: r, want: want, digest: sha256.New()}
}

func damaged(cause error) error {
	return fault.Permanentf("blob_damaged", "the stored bytes are not those that were uploaded; upload the document again").WithCause(cause)
}

// sized tells a stream that was cut from one that is complete.
type sized struct {
	io.ReadCloser
	store *Store
	left  int64
}

func (r *sized) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		return n, fault.Transientf("blob_cut", "the blob store ended the transfer early").WithCause(fmt.Errorf("%d bytes are missing", r.left))
	case errors.Is(err, io.EOF), err == nil:
		return n, err //nolint:wrapcheck // io.EOF is compared by readers
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, fault.Transientf("blob_cut", "the blob store ended the transfer early").WithCause(redacted(err))
	}
	return n, fmt.Errorf("read blob: %w", r.store.classify(err))
}

// verified holds the last block back until the end of r proves it.
type verified struct {
	r      io.ReadCloser
	want   Info
	digest hash.Hash
	read   int64

	// held are bytes that were read and not yet proven or followed.
	held []byte
	// ready are bytes that may go out.
	ready []byte
	spare []byte
	end   error
}

func (v *verified) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(v.ready) == 0 {
		if v.end != nil {
			return 0, v.end
		}
		v.fill()
	}
	n := copy(p, v.ready)
	v.ready = v.ready[n:]
	return n, nil
}

// fill reads a block more; the one before it may go out then.
func (v *verified) fill() {
	if v.spare == nil {
		v.spare = make([]byte, copySize)
	}
	n, err := io.ReadFull(v.r, v.spare)
	v.read += int64(n)
	v.digest.Write(v.spare[:n])
	if v.read > v.want.Bytes {
		v.end = damaged(fmt.Errorf("more than %d bytes", v.want.Bytes))
		return
	}
	switch {
	case err == nil:
		v.ready, v.held, v.spare = v.held, v.spare[:n], v.held[:cap(v.held)]
		if cap(v.spare) == 0 {
			v.spare = nil
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && !isFault(err):
		if v.end = v.proven(); errors.Is(v.end, io.EOF) {
			v.ready = slices.Concat(v.held, v.spare[:n])
		}
	default:
		v.end = err
	}
}

// isFault tells an error of the source from io.ReadFull's own word for a short block.
func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// proven returns io.EOF when all that was read is what was wanted.
func (v *verified) proven() error {
	if v.read != v.want.Bytes {
		return damaged(fmt.Errorf("%d bytes instead of %d", v.read, v.want.Bytes))
	}
	if sum := hex.EncodeToString(v.digest.Sum(nil)); sum != v.want.SHA256 {
		return damaged(fmt.Errorf("sha-256 is %s instead of %s", sum, v.want.SHA256))
	}
	return io.EOF
}

// Close closes what is read.
func (v *verified) Close() error {
	if err := v.r.Close(); err != nil {
		return fmt.Errorf("close blob: %w", redacted(err))
	}
	return nil
}
