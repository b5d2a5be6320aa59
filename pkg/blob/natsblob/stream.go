package natsblob

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"gocloud.dev/blob/driver"
)

const (
	// chunkSize is that of ADR-20.
	chunkSize = 128 << 10
	// window is how many chunks of an upload may be without an answer.
	window = 16
)

// NewTypedWriter begins an upload. Nothing can be seen of it before Close.
func (b *bucket) NewTypedWriter(ctx context.Context, key, contentType string, opts *driver.WriterOptions) (driver.Writer, error) {
	if opts.IfNotExist {
		return nil, errUnsupported
	}
	if opts.BeforeWrite != nil {
		if err := opts.BeforeWrite(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	return &writer{ctx: ctx, b: b, key: key, contentType: contentType, nuid: nuid.Next(), digest: sha256.New()}, nil
}

type writer struct {
	ctx         context.Context //nolint:containedctx // a driver's writer lives in the context it was made with
	b           *bucket
	key         string
	contentType string
	nuid        string
	digest      hash.Hash
	size        uint64
	count       uint32
	chunk       []byte
	under       []jetstream.PubAckFuture
	err         error
}

func (w *writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && w.err == nil {
		if w.chunk == nil {
			// A new one each: the client may send a chunk again later.
			w.chunk = make([]byte, 0, chunkSize)
		}
		n := min(len(p), chunkSize-len(w.chunk))
		w.chunk = append(w.chunk, p[:n]...)
		p, written = p[n:], written+n
		if len(w.chunk) == chunkSize {
			w.err = w.send()
		}
	}
	return written, w.err
}

func (w *writer) send() error {
	if len(w.chunk) == 0 {
		return nil
	}
	for len(w.under) >= window {
		if err := w.settleOne(); err != nil {
			return err
		}
	}
	w.digest.Write(w.chunk)
	w.size += uint64(len(w.chunk))
	w.count++
	f, err := w.b.js.PublishMsgAsync(&nats.Msg{Subject: w.b.chunks(w.nuid), Data: w.chunk})
	if err != nil {
		return fmt.Errorf("write a chunk: %w", err)
	}
	w.chunk = nil
	w.under = append(w.under, f)
	return nil
}

// settleOne waits for the oldest chunk. The publisher's timeout bounds it.
func (w *writer) settleOne() error {
	f := w.under[0]
	w.under = w.under[1:]
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		return fmt.Errorf("write a chunk: %w", err)
	case <-w.ctx.Done():
		return w.ctx.Err()
	}
}

// Close completes the upload, or takes back what was written of it.
func (w *writer) Close() error {
	err := w.complete()
	if err == nil {
		return nil
	}
	// The chunks go even though whoever wrote them has given up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), answerTimeout)
	defer cancel()
	for _, f := range w.under {
		select {
		case <-f.Ok():
		case <-f.Err(): //nolint:errcheck // the chunk goes, however it ended
		case <-ctx.Done():
		}
	}
	if w.count == 0 {
		return err
	}
	return errors.Join(err, w.b.purge(ctx, w.b.chunks(w.nuid)))
}

func (w *writer) complete() error {
	if w.err != nil {
		return w.err
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.send(); err != nil {
		return err
	}
	for len(w.under) > 0 {
		if err := w.settleOne(); err != nil {
			return err
		}
	}
	before, err := w.b.info(w.ctx, w.key)
	if err != nil && !errors.Is(err, errNoObject) {
		return err
	}
	if err := w.name(); err != nil {
		return err
	}
	if before.NUID != "" {
		// Best effort: tidy finds what stays.
		_ = w.b.purge(w.ctx, w.b.chunks(before.NUID))
	}
	return nil
}

// name publishes what is known of the object, which makes it visible.
func (w *writer) name() error {
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{
			Name: w.key, Headers: nats.Header{"Content-Type": {w.contentType}}, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkSize},
		},
		Bucket: w.b.name, NUID: w.nuid, Size: w.size, Chunks: w.count, Digest: jetstream.GetObjectDigestValue(w.digest),
	}
	data, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("encode what is known of an object: %w", err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, answerTimeout)
	defer cancel()
	_, err = w.b.js.PublishMsg(ctx, &nats.Msg{
		Subject: w.b.meta(w.key), Data: data, Header: nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}},
	})
	if err != nil {
		return fmt.Errorf("name an object: %w", err)
	}
	return nil
}

// NewRangeReader reads an object, or length bytes of it from offset on. There
// is no index of chunks, so that those before the offset are read and passed over.
func (b *bucket) NewRangeReader(ctx context.Context, key string, offset, length int64, opts *driver.ReaderOptions) (driver.Reader, error) {
	info, err := b.info(ctx, key)
	if err != nil {
		return nil, err
	}
	if opts.BeforeRead != nil {
		if err := opts.BeforeRead(func(any) bool { return false }); err != nil {
			return nil, err
		}
	}
	r := &reader{ctx: ctx, b: b, info: info, left: info.Chunks, digest: sha256.New(), skip: offset, rest: math.MaxInt64}
	// What ends with the object is read beyond its last byte, where the digest is proven.
	if length >= 0 && length < int64(info.Size)-offset {
		r.rest = length
	}
	return r, nil
}

type reader struct {
	ctx  context.Context //nolint:containedctx // a driver's reader lives in the context it was made with
	b    *bucket
	info jetstream.ObjectInfo
	next uint64
	left uint32
	// skip is how many bytes are passed over yet, rest how many are wanted after those.
	skip, rest int64

	data   []byte
	digest hash.Hash
	err    error
}

func (r *reader) Read(p []byte) (int, error) {
	for len(r.data) == 0 && r.err == nil {
		if r.rest == 0 {
			return 0, io.EOF
		}
		r.data, r.err = r.chunk()
		passed := min(r.skip, int64(len(r.data)))
		wanted := min(r.rest, int64(len(r.data))-passed)
		r.data = r.data[passed : passed+wanted]
		r.skip -= passed
		r.rest -= wanted
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	if n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

// chunk returns the next one, and io.EOF after the last when all of them are
// what was written.
func (r *reader) chunk() ([]byte, error) {
	if r.left == 0 {
		if got := jetstream.GetObjectDigestValue(r.digest); got != r.info.Digest {
			return nil, fmt.Errorf("%w: %s instead of %s", jetstream.ErrDigestMismatch, got, r.info.Digest)
		}
		return nil, io.EOF
	}
	subject := r.b.chunks(r.info.NUID)
	data, seq, err := r.b.chunkFrom(r.ctx, subject, r.next)
	if errors.Is(err, errNoObject) {
		return nil, fmt.Errorf("%d chunks are gone: %w", r.left, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, err
	}
	r.next, r.left = seq+1, r.left-1
	r.digest.Write(data)
	return data, nil
}

// chunkFrom asks any server that has the stream, and its leader when that one
// does not have the chunk yet.
func (b *bucket) chunkFrom(ctx context.Context, subject string, from uint64) ([]byte, uint64, error) {
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	m, err := b.stream.GetMsg(asking, max(from, 1), jetstream.WithGetMsgSubject(subject))
	if err == nil {
		return m.Data, m.Sequence, nil
	}
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, fmt.Errorf("read a chunk: %w", err)
	}
	late, err := b.fromLeader(ctx, ask{Sequence: max(from, 1), Next: subject})
	return late.Data, late.Sequence, err
}

// Close ends reading; the server keeps nothing for a reader.
func (r *reader) Close() error {
	r.err = io.ErrClosedPipe
	r.data = nil
	return nil
}

// Attributes returns what a listing would.
func (r *reader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: contentType(r.info), ModTime: r.info.ModTime, Size: int64(r.info.Size)}
}

// As gives no type of its own.
func (r *reader) As(any) bool { return false }
