// Package natsblob keeps blobs in an object store of NATS JetStream, for
// clusters without a cloud's. What it writes is the layout of NATS ADR-20:
// `nats object ls`, `get` and `put` work on it.
//
// It is not the client of nats.go: that one bounds a whole download by five
// seconds when its context has no deadline, takes in what a slow reader does
// not want yet, leaves the chunks of a cancelled upload behind, and may read
// from a follower that does not have the object yet. This one asks for one
// chunk after the other, has at most [window] chunks of an upload under way,
// and believes only the stream's leader that an object is missing.
//
// An object is as durable as the stream: R3 with sync_interval always for
// anything that cannot be uploaded again.
package natsblob

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	gocloud "gocloud.dev/blob"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Scheme is that of the URLs: nats://bucket.
const Scheme = "nats"

// answerTimeout bounds one question to the server, so that a call whose
// context has no deadline ends.
const answerTimeout = 10 * time.Second

// Opener opens buckets of the JetStream that js talks to:
//
//	nats://bucket?replicas=3&max_bytes=107374182400&storage=file&create=false
//
// The server and its credentials are those of js. A bucket that is not there
// is made with the given replicas (1 to 5, default 1), bound (bytes, default
// none) and storage (file, the default, or memory); one that is there is used
// as it is. create=false never makes one.
func Opener(js jetstream.JetStream) blob.Opener {
	return blob.Opener{
		Scheme: Scheme,
		Form:   "nats://bucket",
		Open: func(ctx context.Context, u *url.URL) (blob.Backend, error) {
			cfg, create, err := parse(u)
			if err != nil {
				return blob.Backend{}, fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL: %s; use nats://bucket?replicas=3", err)
			}
			return open(ctx, js, cfg, create)
		},
	}
}

func parse(u *url.URL) (cfg jetstream.ObjectStoreConfig, create bool, err error) {
	cfg = jetstream.ObjectStoreConfig{Bucket: u.Host, Description: "bytes of documents", Replicas: 1, Storage: jetstream.FileStorage}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(u.Host) {
		return cfg, false, errors.New("the bucket's name must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
	}
	if u.Path != "" && u.Path != "/" {
		return cfg, false, errors.New("a bucket has no path")
	}
	create = true
	for name, values := range u.Query() {
		value := values[0]
		switch name {
		case "replicas":
			if cfg.Replicas, err = strconv.Atoi(value); err != nil || cfg.Replicas < 1 || cfg.Replicas > 5 {
				return cfg, false, fmt.Errorf("replicas is %q; use 1 to 5", value)
			}
		case "max_bytes":
			if cfg.MaxBytes, err = strconv.ParseInt(value, 10, 64); err != nil || cfg.MaxBytes < 1 {
				return cfg, false, fmt.Errorf("max_bytes is %q; use a number of bytes", value)
			}
		case "storage":
			if value != "file" && value != "memory" {
				return cfg, false, fmt.Errorf("storage is %q; use file or memory", value)
			}
			if value == "memory" {
				cfg.Storage = jetstream.MemoryStorage
			}
		case "create":
			if create, err = strconv.ParseBool(value); err != nil {
				return cfg, false, fmt.Errorf("create is %q; use true or false", value)
			}
		default:
			return cfg, false, fmt.Errorf("the parameter %q is not known", name)
		}
	}
	return cfg, create, nil
}

func open(ctx context.Context, shared jetstream.JetStream, cfg jetstream.ObjectStoreConfig, create bool) (blob.Backend, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	// Its own publisher: uploads do not use up what events may have under way.
	js, err := jetstream.New(shared.Conn(), jetstream.WithPublishAsyncTimeout(answerTimeout))
	if err != nil {
		return blob.Backend{}, fmt.Errorf("open JetStream: %w", err)
	}
	b := &bucket{js: js, name: cfg.Bucket, streamName: "OBJ_" + cfg.Bucket}
	b.stream, err = js.Stream(ctx, b.streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) && create {
		if _, err = js.CreateObjectStore(ctx, cfg); err == nil || errors.Is(err, jetstream.ErrBucketExists) {
			b.stream, err = js.Stream(ctx, b.streamName)
		}
	}
	if err != nil {
		return blob.Backend{}, b.openFault(err)
	}
	return blob.Backend{Bucket: gocloud.NewBucket(b), Diagnose: b.diagnose, Ready: b.ready, Tidy: b.tidy}, nil
}

func (b *bucket) openFault(err error) error {
	switch b.diagnose(err) { //nolint:exhaustive // the others may pass
	case blob.NoBucket:
		return fault.Invalidf("blob_bucket_missing", "RAGBUS_BLOB_URL: there is no object store %q in NATS", b.name).WithCause(err)
	case blob.Denied:
		return fault.Invalidf("blob_store_denied",
			"RAGBUS_BLOB_URL: the NATS user may not use the object store %q; allow it $JS.API.STREAM.*.%s and $O.%s.>", b.name, b.streamName, b.name).WithCause(err)
	case blob.Full:
		return fault.Invalidf("blob_store_full", "RAGBUS_BLOB_URL: NATS has no room for the object store %q", b.name).WithCause(err)
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL: NATS refuses the object store %q: %s", b.name, api.Description).WithCause(err)
	}
	return fault.Transientf("blob_store_away", "RAGBUS_BLOB_URL: NATS does not answer for the object store %q", b.name).WithCause(err)
}

// Errors of JetStream that nats.go has no names for.
const (
	codeNoResources = 10023
	codeNoStorage   = 10047
	codeStoreFailed = 10077
)

// diagnose reads an error of NATS.
func (b *bucket) diagnose(err error) blob.Diagnosis {
	switch {
	case errors.Is(err, errNoObject), errors.Is(err, jetstream.ErrMsgNotFound):
		return blob.NoObject
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, jetstream.ErrBucketNotFound):
		return blob.NoBucket
	case errors.Is(err, nats.ErrPermissionViolation):
		return blob.Denied
	case errors.Is(err, jetstream.ErrDigestMismatch):
		return blob.Damaged
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch api.ErrorCode { //nolint:exhaustive // the others are left to their class
		case codeNoResources, codeNoStorage, codeStoreFailed:
			return blob.Full
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrAsyncPublishTimeout) {
		// A server that forbids a publication tells the connection, not the caller.
		last := b.js.Conn().LastError()
		if errors.Is(last, nats.ErrPermissionViolation) && (strings.Contains(last.Error(), b.streamName) || strings.Contains(last.Error(), "$O."+b.name+".")) {
			return blob.Denied
		}
	}
	return blob.Unknown
}

func (b *bucket) chunks(nuid string) string { return "$O." + b.name + ".C." + nuid }

const metaPart = ".M."

func (b *bucket) meta(key string) string {
	return "$O." + b.name + metaPart + base64.URLEncoding.EncodeToString([]byte(key))
}

// keyOf returns the key of a meta subject.
func (b *bucket) keyOf(subject string) (string, bool) {
	encoded, ok := strings.CutPrefix(subject, "$O."+b.name+metaPart)
	if !ok {
		return "", false
	}
	key, err := base64.URLEncoding.DecodeString(encoded)
	return string(key), err == nil
}
