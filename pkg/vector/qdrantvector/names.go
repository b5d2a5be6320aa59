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
func headSpace() uuid.UUID {
	return uuid.UUID{0x5a, 0x3c, 0x1c, 0x1e, 0x90, 0xf5, 0x5d, 0x0b, 0x8d, 0x0e, 0x0f, 0x1a, 0x54, 0xb9, 0xb0, 0xc7}
}

// headUUID returns the id of a document's head.
func headUUID(tenant, document string) uuid.UUID {
	return uuid.NewSHA1(headSpace(), []byte("head\x00"+tenant+"\x00"+document))
}

// headID is [headUUID] as the protocol has it.
func headID(tenant, document string) *qdrant.PointId {
	return qdrant.NewIDUUID(headUUID(tenant, document).String())
}

// pointIDs returns ids as the protocol has them, in few pieces of memory.
func pointIDs(ids []uuid.UUID) []*qdrant.PointId {
	out, points, kinds := make([]*qdrant.PointId, len(ids)), make([]qdrant.PointId, len(ids)), make([]qdrant.PointId_Uuid, len(ids))
	for i := range ids {
		kinds[i].Uuid = ids[i].String()
		points[i].PointIdOptions = &kinds[i]
		out[i] = &points[i]
	}
	return out
}

// markerID returns the id of the point that says what the collection is.
func markerID() *qdrant.PointId {
	return qdrant.NewIDUUID(uuid.NewSHA1(headSpace(), []byte("marker")).String())
}
