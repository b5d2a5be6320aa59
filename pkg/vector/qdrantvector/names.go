package qdrantvector

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/qdrant/go-client/qdrant"
)

// names of an index: the alias that searches use, the alias of the collection
// that is to replace it while there is one, and the collections themselves,
// numbered, each named like the alias with its number.
type names struct{ alias, next string }

// longestSlug bounds how much of a profile's key is in a name; its hash tells keys apart.
const longestSlug = 80

func namesOf(prefix, profileKey string) names {
	slug := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(profileKey))
	sum := sha256.Sum256([]byte(profileKey))
	alias := fmt.Sprintf("%s_%.*s_%s", prefix, longestSlug, slug, hex.EncodeToString(sum[:4]))
	return names{alias: alias, next: alias + "_next"}
}

func (n names) collection(number int) string { return n.alias + "_" + strconv.Itoa(number) }

// number returns the number of one of the index's collections, 0 for any other.
func (n names) number(collection string) int {
	suffix, ok := strings.CutPrefix(collection, n.alias+"_")
	if !ok {
		return 0
	}
	number, err := strconv.Atoi(suffix)
	if err != nil || number < 1 || strconv.Itoa(number) != suffix {
		return 0
	}
	return number
}

// headSpace is the UUIDv5 name space of points that are no chunks.
func headSpace() uuid.UUID { return uuid.MustParse("5a3c1c1e-90f5-5d0b-8d0e-0f1a54b9b0c7") }

// headID returns the id of a document's head.
func headID(tenant, document string) *qdrant.PointId {
	return qdrant.NewIDUUID(uuid.NewSHA1(headSpace(), []byte("head\x00"+tenant+"\x00"+document)).String())
}

// markerID returns the id of the point that says what the collection is.
func markerID() *qdrant.PointId {
	return qdrant.NewIDUUID(uuid.NewSHA1(headSpace(), []byte("marker")).String())
}
