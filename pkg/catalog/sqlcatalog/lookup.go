package sqlcatalog

import (
	"fmt"
	"strconv"
	"strings"
)

// maxLookup is how many keys one statement looks up; longer lists take several.
const maxLookup = 64

// lookup holds the statements that look up n keys at once.
type lookup struct {
	revisions string
	documents string
	chunks    string
	vectors   string
}

// smallestLookup is the number of keys that a shorter list is padded to.
const smallestLookup = 4

// bucket rounds the number of keys up to that of a prepared lookup.
func bucket(n int) int {
	size := smallestLookup
	for size < n {
		size *= 2
	}
	return size
}

func newLookups() map[int]lookup {
	lookups := make(map[int]lookup)
	for n := smallestLookup; n <= maxLookup; n *= 2 {
		lookups[n] = lookup{
			revisions: revisionsStatement(n),
			documents: "select " + documentColumns + " from documents where tenant = $1 and status not in ('deleting', 'deleted') and id in (" + marks(2, n) + ")",
			chunks:    chunksStatement(n),
			vectors:   "select hash, vector from vectors where tenant = $1 and profile = $2 and hash in (" + marks(3, n) + ")",
		}
	}
	return lookups
}

// revisionsStatement returns one row with a column for each of n documents:
// its updated_at, or 0 when it is not there or being deleted. A list of ids
// with a row for each costs SQLite's driver nearly twice the allocations.
func revisionsStatement(n int) string {
	var b strings.Builder
	b.WriteString("select ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "coalesce((select updated_at from documents where tenant = $1 and id = $%d and status not in ('deleting', 'deleted')), 0)", i+2)
	}
	return b.String()
}

// documentArguments are those of revisions and documents: the tenant and n ids.
func documentArguments(tenant string, ids []string, n int) []any {
	args := make([]any, 1, n+1)
	args[0] = tenant
	for _, id := range ids {
		args = append(args, id)
	}
	for len(args) <= n {
		args = append(args, "")
	}
	return args
}

// chunksStatement looks up n chunks. It is no join of the list with the
// table: SQLite plans a join anew whenever one of its parameters turns to 0
// or 1, as ordinals do.
func chunksStatement(n int) string {
	var b strings.Builder
	b.WriteString("select " + chunkColumns + " from chunks where tenant = $1 and (document, version, ordinal) in (values ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "($%d, $%d, cast($%d as bigint))", 3*i+2, 3*i+3, 3*i+4)
	}
	b.WriteString(")")
	return b.String()
}

// marks returns "$from, …" with n placeholders.
func marks(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(from + i))
	}
	return b.String()
}
