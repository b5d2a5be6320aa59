// Package cloudblob opens the object stores of clouds for package blob: S3
// and what speaks its protocol, Google Cloud Storage, and Azure Blob Storage,
// each through gocloud's driver and found by the URL's scheme. It is a
// package of its own because the three make a program some 18 MB larger:
// only the mains that need them import it.
//
// Build with the tags disable_grpc_modules and grpcnotrace. Google's client
// otherwise brings its gRPC transport, another 13 MB that no URL here can ask
// for, and gRPC a template engine, whose reflection keeps the linker from
// dropping unused methods anywhere.
package cloudblob

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	gocloud "gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcp"
	"google.golang.org/api/option"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/fault"
)

// credentialsTimeout bounds looking for credentials: outside of a cloud its
// metadata service does not refuse, it is silent.
const credentialsTimeout = 15 * time.Second

// Openers returns what opens s3://, gs:// and azblob://. Credentials come
// from the environment or from the role of the pod, as each vendor's own
// tools take them; a URL holds none.
func Openers() []blob.Opener { return []blob.Opener{S3(), GCS(), Azure()} }

// S3 returns the opener of
//
//	s3://bucket?region=eu-central-1
//	s3://bucket?endpoint=https://minio:9000&use_path_style=true
//	s3://bucket?prefix=ragbus/
//
// and the other parameters of gocloud's s3blob and aws packages: profile,
// role, ssetype, kmskeyid, disable_https, request_checksum_calculation and
// response_checksum_validation (when_supported, when_required). With an
// endpoint and without any region, the region is us-east-1, which servers
// other than Amazon's take. Credentials are AWS_ACCESS_KEY_ID with
// AWS_SECRET_ACCESS_KEY, a profile, or the role of the pod or machine; that
// there are some is checked here.
func S3() blob.Opener {
	return blob.Opener{
		Scheme: s3blob.Scheme, Form: "s3://bucket?region=…",
		Open: func(ctx context.Context, u *url.URL) (blob.Backend, error) {
			u, prefix, err := split(u, "s3://bucket?region=…")
			if err != nil {
				return blob.Backend{}, err
			}
			ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
			defer cancel()
			bucket, err := openS3(ctx, u)
			if err != nil {
				return blob.Backend{}, err
			}
			return backend(bucket, prefix, diagnoseS3), nil
		},
	}
}

func openS3(ctx context.Context, u *url.URL) (*gocloud.Bucket, error) {
	var client *s3.Client
	open := func(u *url.URL) (*gocloud.Bucket, error) {
		bucket, err := new(s3blob.URLOpener).OpenBucketURL(ctx, u)
		if err != nil {
			return nil, refused("s3", err)
		}
		if !bucket.As(&client) {
			return nil, errors.Join(errors.New("the S3 driver gives no client"), bucket.Close())
		}
		return bucket, nil
	}
	// Package blob proves bytes by their SHA-256, and the SDK would write to
	// stderr whenever a server has no checksum of its own.
	u = withDefault(u, "response_checksum_validation", "when_required")
	if u.Query().Has("endpoint") {
		// Servers other than Amazon's may not know its trailing checksums.
		u = withDefault(u, "request_checksum_calculation", "when_required")
	}
	bucket, err := open(u)
	if err != nil {
		return nil, err
	}
	if client.Options().Region == "" {
		if err := bucket.Close(); err != nil {
			return nil, fmt.Errorf("close bucket: %w", err)
		}
		if !u.Query().Has("endpoint") {
			return nil, fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL: no region is known for the bucket; add ?region=… or set AWS_REGION")
		}
		if bucket, err = open(with(u, "region", "us-east-1")); err != nil {
			return nil, err
		}
	}
	if _, err := client.Options().Credentials.Retrieve(ctx); err != nil && u.Query().Get("anonymous") != "true" {
		return nil, errors.Join(noCredentials("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod a role", err), bucket.Close())
	}
	return bucket, nil
}

// GCS returns the opener of
//
//	gs://bucket
//	gs://bucket?prefix=ragbus/&universe_domain=…
//
// Credentials are Google's application default ones: workload identity, the
// machine's account, or the file in GOOGLE_APPLICATION_CREDENTIALS.
// anonymous=true uses none; STORAGE_EMULATOR_HOST, the address of an
// emulator, implies it.
func GCS() blob.Opener {
	return blob.Opener{
		Scheme: gcsblob.Scheme, Form: "gs://bucket",
		Open: func(ctx context.Context, u *url.URL) (blob.Backend, error) {
			u, prefix, err := split(u, "gs://bucket")
			if err != nil {
				return blob.Backend{}, err
			}
			for _, name := range []string{"grpc", "zonal"} {
				if u.Query().Has(name) {
					return blob.Backend{}, fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL: the parameter %q is not supported; the JSON API is used", name)
				}
			}
			if os.Getenv("STORAGE_EMULATOR_HOST") != "" { //nolint:forbidigo // the vendor's library reads it, as it does its credentials
				u = with(u, "anonymous", "true")
			}
			bucket, err := openGCS(ctx, u)
			if err != nil {
				return blob.Backend{}, err
			}
			return backend(bucket, prefix, diagnoseGCS), nil
		},
	}
}

func openGCS(ctx context.Context, u *url.URL) (*gocloud.Bucket, error) {
	opener := &gcsblob.URLOpener{Options: gcsblob.Options{ClientOptions: []option.ClientOption{
		// Its default for reads alone is the XML API: another host to allow, other errors.
		storage.WithJSONReads(),
	}}}
	if u.Query().Get("anonymous") == "true" {
		opener.Client = gcp.NewAnonymousHTTPClient(gcp.DefaultTransport())
	} else {
		asking, cancel := context.WithTimeout(ctx, credentialsTimeout)
		defer cancel()
		// What renews a token later must outlive this call.
		creds, err := gcp.DefaultCredentials(context.WithoutCancel(asking))
		if err != nil {
			return nil, noCredentials("use workload identity or set GOOGLE_APPLICATION_CREDENTIALS", err)
		}
		if opener.Client, err = gcp.NewHTTPClient(gcp.DefaultTransport(), gcp.CredentialsTokenSource(creds)); err != nil {
			return nil, noCredentials("the Google credentials cannot be used", err)
		}
	}
	bucket, err := opener.OpenBucketURL(ctx, u)
	if err != nil {
		return nil, refused("gs", err)
	}
	return bucket, nil
}

// Azure returns the opener of
//
//	azblob://container?storage_account=name
//	azblob://container?prefix=ragbus/&domain=…&protocol=…&localemu=true
//
// Credentials are AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or
// AZURE_STORAGE_CONNECTION_STRING, with AZURE_STORAGE_ACCOUNT for the name,
// else those that Azure's own libraries find (workload or managed identity,
// AZURE_CLIENT_ID with AZURE_TENANT_ID and a secret).
func Azure() blob.Opener {
	return blob.Opener{
		Scheme: azureblob.Scheme, Form: "azblob://container?storage_account=…",
		Open: func(ctx context.Context, u *url.URL) (blob.Backend, error) {
			u, prefix, err := split(u, "azblob://container?storage_account=…")
			if err != nil {
				return blob.Backend{}, err
			}
			// The mux has the driver's own opener, which reads the environment.
			bucket, err := gocloud.DefaultURLMux().OpenBucketURL(ctx, u)
			if err != nil {
				return blob.Backend{}, refused("azblob", err)
			}
			b := backend(bucket, prefix, diagnoseAzure)
			// Its writer can panic when Azure refuses what is written (v0.47).
			b.Uploads = true
			return b, nil
		},
	}
}

func backend(bucket *gocloud.Bucket, prefix string, diagnose func(error) blob.Diagnosis) blob.Backend {
	if prefix != "" {
		bucket = gocloud.PrefixedBucket(bucket, prefix)
	}
	return blob.Backend{Bucket: bucket, Diagnose: diagnose}
}

// split checks a URL and takes our own parameter out of it.
func split(u *url.URL, form string) (rest *url.URL, prefix string, err error) {
	if u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, "", fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL does not name a bucket alone; use %s, with &prefix=folder/ for a folder", form)
	}
	prefix = u.Query().Get("prefix")
	if prefix != "" && (!strings.HasSuffix(prefix, "/") || strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "..")) {
		return nil, "", fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL: the prefix %q is not a folder; use prefix=folder/", prefix)
	}
	return with(u, "prefix", ""), prefix, nil
}

// with returns a copy of u with a parameter set, or gone when value is "".
func with(u *url.URL, name, value string) *url.URL {
	c := *u
	q := c.Query()
	q.Del(name)
	if value != "" {
		q.Set(name, value)
	}
	c.RawQuery = q.Encode()
	return &c
}

func withDefault(u *url.URL, name, value string) *url.URL {
	if u.Query().Has(name) {
		return u
	}
	return with(u, name, value)
}

func refused(scheme string, err error) error {
	return fault.Invalidf("invalid_blob_url", "RAGBUS_BLOB_URL: the %s:// URL or its credentials cannot be used: %s", scheme, plain(err))
}

// plain returns the innermost text of a driver's error about a URL: what is
// wrong with it, without the URL.
func plain(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

func noCredentials(remedy string, cause error) error {
	return fault.Invalidf("blob_store_denied", "RAGBUS_BLOB_URL: there are no credentials for the bucket: %s", remedy).WithCause(cause)
}
