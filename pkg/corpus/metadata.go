package corpus

import (
	"math"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

// The bounds of a document's metadata.
const (
	MaxMetadataKeys     = 64
	MaxMetadataKeyLen   = 64
	MaxMetadataValueLen = 1024
)

// CheckMetadata returns an Invalid fault unless every value is a string,
// float64 or bool within the bounds above.
func CheckMetadata(m map[string]any) error {
	if len(m) > MaxMetadataKeys {
		return badMetadata("metadata has %d keys; the limit is %d", len(m), MaxMetadataKeys)
	}
	for k, v := range m {
		if k == "" || len(k) > MaxMetadataKeyLen || !utf8.ValidString(k) {
			return badMetadata("a metadata key has 1 to %d bytes of UTF-8", MaxMetadataKeyLen)
		}
		switch v := v.(type) {
		case string:
			if len(v) > MaxMetadataValueLen {
				return badMetadata("metadata %q has %d bytes; the limit is %d", k, len(v), MaxMetadataValueLen)
			}
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return badMetadata("metadata %q is not a finite number", k)
			}
		case bool:
		default:
			return badMetadata("metadata %q must be a string, a number or a boolean", k)
		}
	}
	return nil
}

func badMetadata(format string, args ...any) error {
	return fault.Invalidf("invalid_metadata", format, args...).WithField("metadata")
}
