package cloudblob

import (
	"errors"
	"net/http"
	"strings"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"google.golang.org/api/googleapi"

	"github.com/ragbus/ragbus/pkg/blob"
)

// byStatus reads what means the same everywhere.
func byStatus(status int) blob.Diagnosis {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return blob.Denied
	case http.StatusTooManyRequests:
		return blob.Throttled
	case http.StatusInsufficientStorage:
		return blob.Full
	}
	return blob.Unknown
}

// diagnoseS3 reads Amazon's codes, those of servers like it included; see
// docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
func diagnoseS3(err error) blob.Diagnosis {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "NoSuchBucket":
			return blob.NoBucket
		case "NoSuchKey":
			return blob.NoObject
		case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "MovedPermanently":
			return blob.Misdirected
		case "SlowDown", "RequestLimitExceeded", "TooManyRequestsException", "SlowDownRead", "SlowDownWrite":
			return blob.Throttled
		case "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded":
			return blob.Full
		case "AccessDenied", "AllAccessDisabled", "AccountProblem", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
			"SignatureDoesNotMatch", "RequestTimeTooSkewed", "Forbidden",
			// All that is left of an expired token where an answer has no body.
			"BadRequest":
			return blob.Denied
		}
	}
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		if response.HTTPStatusCode() == http.StatusMovedPermanently {
			return blob.Misdirected
		}
		return byStatus(response.HTTPStatusCode())
	}
	return blob.Unknown
}

// diagnoseGCS reads Google's JSON errors. gocloud takes its 403 for a missing object.
func diagnoseGCS(err error) blob.Diagnosis {
	if errors.Is(err, storage.ErrBucketNotExist) {
		return blob.NoBucket
	}
	api, ok := errors.AsType[*googleapi.Error](err)
	if !ok {
		// A token that cannot be had fails before there is an answer.
		if strings.Contains(err.Error(), "oauth2: cannot fetch token") {
			return blob.Denied
		}
		return blob.Unknown
	}
	if api.Code == http.StatusNotFound && strings.Contains(api.Message, "bucket does not exist") {
		return blob.NoBucket
	}
	return byStatus(api.Code)
}

// diagnoseAzure reads Azure's codes; see learn.microsoft.com/rest/api/storageservices/blob-service-error-codes.
func diagnoseAzure(err error) blob.Diagnosis {
	response, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		if strings.Contains(err.Error(), "no such host") {
			return blob.NoBucket // the account is part of the host's name
		}
		return blob.Unknown
	}
	switch bloberror.Code(response.ErrorCode) { //nolint:exhaustive // the others are read by their status
	case bloberror.ContainerNotFound, bloberror.ContainerBeingDeleted, bloberror.ContainerDisabled:
		return blob.NoBucket
	case bloberror.BlobNotFound:
		return blob.NoObject
	case bloberror.ServerBusy:
		return blob.Throttled
	}
	return byStatus(response.StatusCode)
}
