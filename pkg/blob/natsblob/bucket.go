package natsblob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

var (
	errNoObject    = errors.New("there is no such object in the bucket")
	errUnsupported = errors.New("the object store of NATS cannot do this")
)

// bucket is a gocloud driver. Its methods are safe for concurrent use.
type bucket struct {
	js         jetstream.JetStream
	stream     jetstream.Stream
	name       string
	streamName string
}

// ErrorCode gives an error of the other methods a code of gocloud.
func (b *bucket) ErrorCode(err error) gcerrors.ErrorCode {
	switch {
	case errors.Is(err, errNoObject):
		return gcerrors.NotFound
	case errors.Is(err, errUnsupported):
		return gcerrors.Unimplemented
	case errors.Is(err, context.Canceled):
		return gcerrors.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return gcerrors.DeadlineExceeded
	}
	return gcerrors.Unknown
}

// As gives no type of its own.
func (b *bucket) As(any) bool { return false }

// ErrorAs gives no type of its own.
func (b *bucket) ErrorAs(error, any) bool { return false }

// Close ends the publisher; the connection is the caller's.
func (b *bucket) Close() error {
	b.js.CleanupPublisher()
	return nil
}

// ready asks the server for the stream. The answer is small: no subjects.
func (b *bucket) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := b.stream.Info(ctx); err != nil {
		return fmt.Errorf("ask for the stream %s: %w", b.streamName, err)
	}
	return nil
}

// stored is a message as the stream's leader returns it.
type stored struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// ask is a question for one message: the last of a subject, or the next of
// one from a sequence on.
type ask struct {
	Sequence uint64 `json:"seq,omitempty"`
	Last     string `json:"last_by_subj,omitempty"`
	Next     string `json:"next_by_subj,omitempty"`
}

// fromLeader reads a message where it surely is when it was ever written.
func (b *bucket) fromLeader(ctx context.Context, question ask) (stored, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	body, err := json.Marshal(question)
	if err != nil {
		return stored{}, fmt.Errorf("encode a question: %w", err)
	}
	reply, err := b.js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+b.streamName, body)
	if err != nil {
		return stored{}, fmt.Errorf("read a message of %s: %w", b.streamName, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message stored              `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return stored{}, fmt.Errorf("read a message of %s: %w", b.streamName, err)
	}
	if answer.Error == nil {
		return answer.Message, nil
	}
	if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return stored{}, errNoObject
	}
	return stored{}, fmt.Errorf("read a message of %s: %w", b.streamName, answer.Error)
}

// info returns what is known of an object.
func (b *bucket) info(ctx context.Context, key string) (jetstream.ObjectInfo, error) {
	m, err := b.fromLeader(ctx, ask{Last: b.meta(key)})
	if err != nil {
		return jetstream.ObjectInfo{}, err
	}
	var info jetstream.ObjectInfo
	if err := json.Unmarshal(m.Data, &info); err != nil {
		return jetstream.ObjectInfo{}, fmt.Errorf("read what is known of an object: %w", err)
	}
	if info.Deleted || info.Opts != nil && info.Opts.Link != nil {
		return jetstream.ObjectInfo{}, errNoObject
	}
	info.ModTime = m.Time
	return info, nil
}

// Attributes returns size, time and media type of an object.
func (b *bucket) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	info, err := b.info(ctx, key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{ContentType: contentType(info), ModTime: info.ModTime, Size: int64(info.Size)}, nil
}

func contentType(info jetstream.ObjectInfo) string {
	if v := info.Headers.Get("Content-Type"); v != "" {
		return v
	}
	return "application/octet-stream"
}

// defaultPage is how many objects a page of a listing has.
const defaultPage = 1000

// ListPaged asks for the names, which the server returns together, and then
// for each object of the page.
func (b *bucket) ListPaged(ctx context.Context, opts *driver.ListOptions) (*driver.ListPage, error) {
	if opts.Delimiter != "" {
		return nil, errUnsupported
	}
	subjects, err := b.subjects(ctx, metaPart)
	if err != nil {
		return nil, err
	}
	var keys []string
	for subject := range subjects {
		if key, ok := b.keyOf(subject); ok && strings.HasPrefix(key, opts.Prefix) && key > string(opts.PageToken) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	size := opts.PageSize
	if size == 0 {
		size = defaultPage
	}
	page := &driver.ListPage{}
	if len(keys) > size {
		keys = keys[:size]
		page.NextPageToken = []byte(keys[size-1])
	}
	for _, key := range keys {
		info, err := b.info(ctx, key)
		if errors.Is(err, errNoObject) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		page.Objects = append(page.Objects, &driver.ListObject{Key: key, ModTime: info.ModTime, Size: int64(info.Size)})
	}
	return page, nil
}

// subjects returns how many messages each subject of a part (".C." or ".M.") has.
func (b *bucket) subjects(ctx context.Context, part string) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter("$O."+b.name+part+">"))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", b.streamName, err)
	}
	return info.State.Subjects, nil
}

// Delete takes the name away before the bytes, so that a crash between the
// two leaves chunks for tidy and no object that cannot be read.
func (b *bucket) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	info, err := b.info(ctx, key)
	if err != nil {
		return err
	}
	if err := b.purge(ctx, b.meta(key)); err != nil {
		return err
	}
	return b.purge(ctx, b.chunks(info.NUID))
}

func (b *bucket) purge(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := b.stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
		return fmt.Errorf("purge from %s: %w", b.streamName, err)
	}
	return nil
}

// tidy removes the chunks of uploads that nobody completed.
func (b *bucket) tidy(ctx context.Context, before time.Time) (int, error) {
	// The chunks first: what is completed meanwhile is in the names then.
	chunks, err := b.subjects(ctx, ".C.")
	if err != nil {
		return 0, err
	}
	names, err := b.subjects(ctx, metaPart)
	if err != nil {
		return 0, err
	}
	for subject := range names {
		key, ok := b.keyOf(subject)
		if !ok {
			continue
		}
		info, err := b.info(ctx, key)
		if err != nil && !errors.Is(err, errNoObject) {
			return 0, err
		}
		delete(chunks, b.chunks(info.NUID))
	}
	removed := 0
	for _, subject := range slices.Sorted(maps.Keys(chunks)) {
		last, err := b.fromLeader(ctx, ask{Last: subject})
		if errors.Is(err, errNoObject) || err == nil && !last.Time.Before(before) {
			continue
		}
		if err != nil {
			return removed, err
		}
		if err := b.purge(ctx, subject); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// Copy is not supported.
func (b *bucket) Copy(context.Context, string, string, *driver.CopyOptions) error {
	return errUnsupported
}

// SignedURL is not supported.
func (b *bucket) SignedURL(context.Context, string, *driver.SignedURLOptions) (string, error) {
	return "", errUnsupported
}
