// Package corpus holds the nouns of Ragbus without any I/O: documents,
// versions, chunks, passages, their ids, and the scope in which a caller may
// see them. It imports nothing of ours but the fault classes.
package corpus

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/google/uuid"

	"github.com/ragbus/ragbus/pkg/fault"
)

// MaxTokenLen bounds every id that becomes part of a subject, a key or a path.
const MaxTokenLen = 128

// DefaultTenant is the tenant of a server without keys.
const DefaultTenant = "default"

// DefaultCollection is the collection of a document that names none.
const DefaultCollection = "default"

// CheckToken returns an Invalid fault unless s is 1 to [MaxTokenLen]
// characters of [A-Za-z0-9_-]. Tenants, collections and ids are tokens: they
// become subject tokens and path elements, where a dot, a slash or a
// wildcard would be an injection.
func CheckToken(field, s string) error {
	if s == "" {
		return fault.Invalidf("invalid_id", "%s is empty; use 1 to %d characters of A-Z, a-z, 0-9, _ and -", field, MaxTokenLen).WithField(field)
	}
	if len(s) > MaxTokenLen {
		return fault.Invalidf("invalid_id", "%s has %d characters; the limit is %d", field, len(s), MaxTokenLen).WithField(field)
	}
	for _, r := range s {
		if !tokenRune(r) {
			return fault.Invalidf("invalid_id", "%s may hold only A-Z, a-z, 0-9, _ and -", field).WithField(field)
		}
	}
	return nil
}

func tokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

// DeriveID returns a token of 26 characters that depends only on kind and
// parts, for ids that must come out the same on every replica and retry.
// Parts are length-prefixed, so that ("ab","c") and ("a","bc") differ.
func DeriveID(kind string, parts ...string) string {
	h := sha256.New()
	write := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	write(kind)
	for _, p := range parts {
		write(p)
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}

// NewID returns a fresh token that sorts by creation time (UUIDv7 without dashes).
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	return strings.ReplaceAll(id.String(), "-", "")
}

// pointSpace is the UUIDv5 name space of vector points.
var pointSpace = uuid.MustParse("7f0c8a52-3c0b-5f0e-9a53-6a6f6b1d5a10")

// PointID returns the id of a chunk's point in a vector store: UUIDv5 of
// tenant, document, version, ordinal and embedding profile. Re-delivered
// work therefore overwrites and never doubles.
func PointID(c ChunkRef, profile string) string {
	return uuid.NewSHA1(pointSpace, []byte(c.ID()+"\x00"+c.Tenant+"\x00"+profile)).String()
}
