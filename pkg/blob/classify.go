package blob

import (
	"context"
	"errors"
	"regexp"
	"syscall"

	"gocloud.dev/gcerrors"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Codes that callers and this package act on.
const (
	codeURL           = "invalid_blob_url"
	codeAway          = "blob_store_away"
	codeDenied        = "blob_store_denied"
	codeBucketMissing = "blob_bucket_missing"
	codeNotFound      = "blob_not_found"
)

// classify gives an error of this store's bucket its class.
func (s *Store) classify(err error) error {
	if err == nil || s.backend.Diagnose == nil {
		return classify(err)
	}
	switch s.backend.Diagnose(err) {
	case Denied:
		return denied(err)
	case NoBucket:
		return bucketMissing(err)
	case NoObject:
		return notFound(err)
	case Misdirected:
		return fault.Transientf(codeURL, "the bucket is elsewhere: check region and endpoint in RAGBUS_BLOB_URL").WithCause(redacted(err))
	case Throttled:
		return fault.ThrottledFor(0, redacted(err))
	case Full:
		return full(err)
	case Damaged:
		return damaged(redacted(err))
	case Unknown:
	}
	return classify(err)
}

// readFault is classify for what may find nothing. Some services answer alike
// for an object and for a bucket that is not there, and whoever takes the
// second for the first gives a document up for lost: so it asks again.
func (s *Store) readFault(ctx context.Context, err error) error {
	err = s.classify(err)
	if !fault.Is(err, fault.NotFound) || s.dir != "" {
		return err
	}
	if _, known := errors.AsType[objectMissingError](err); known {
		return err
	}
	if away := s.ready(ctx); away != nil {
		return away
	}
	return err
}

// writeFault is classify for writing: what is not found then is the bucket.
func (s *Store) writeFault(err error) error {
	err = s.classify(err)
	if fault.Is(err, fault.NotFound) {
		return bucketMissing(err)
	}
	return err
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
		return full(err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.As(fault.Transient, redacted(err))
	}
	switch gcerrors.Code(err) { //nolint:exhaustive // the others may pass
	case gcerrors.NotFound:
		return fault.NotFoundf(codeNotFound, "there is no such blob").WithCause(redacted(err))
	case gcerrors.PermissionDenied:
		return denied(err)
	case gcerrors.InvalidArgument, gcerrors.Unimplemented:
		return fault.As(fault.Permanent, redacted(err))
	case gcerrors.ResourceExhausted:
		return fault.ThrottledFor(0, redacted(err))
	}
	return fault.Transientf(codeAway, "the blob store does not answer as it should").Away().WithCause(redacted(err))
}

func denied(cause error) error {
	return fault.Transientf(codeDenied, "the blob store refuses the credentials or what they may do: check the bucket in RAGBUS_BLOB_URL, the key and its policy").Away().
		WithCause(redacted(cause))
}

func bucketMissing(cause error) error {
	return fault.Transientf(codeBucketMissing, "the bucket in RAGBUS_BLOB_URL does not exist, or not for these credentials").Away().WithCause(redacted(cause))
}

func full(cause error) error {
	return fault.Transientf("storage_full", "the server has no space left").WithCause(redacted(cause))
}

// objectMissingError marks an answer that is surely about the object.
type objectMissingError struct{ error }

func (e objectMissingError) Unwrap() error { return e.error }

func notFound(cause error) error {
	return fault.NotFoundf(codeNotFound, "there is no such blob").WithCause(objectMissingError{redacted(cause)})
}

// redaction is an error whose text lost the values of a URL's query: a failed
// dial repeats the whole URL, and a signature or a token in it.
type redaction struct {
	text string
	err  error
}

func (r *redaction) Error() string { return r.text }
func (r *redaction) Unwrap() error { return r.err }

func redacted(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := secretParameters().ReplaceAllString(text, "${1}redacted")
	if clean == text {
		return err
	}
	return &redaction{text: clean, err: err}
}

// secretParameters matches what authorises a request in a URL or a connection string.
func secretParameters() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b((?:sig|signature|x-amz-signature|x-amz-security-token|x-amz-credential|x-goog-signature|` +
		`x-goog-credential|awsaccesskeyid|accountkey|sharedaccesssignature|access_token|token|password|secret)=)[^&\s"';,]+`)
}
