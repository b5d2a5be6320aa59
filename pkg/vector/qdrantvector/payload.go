package qdrantvector

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// The vectors of a point, and the keys of its payload.
const (
	denseVector  = "dense"
	sparseVector = "sparse"

	tenantKey     = "tenant"
	collectionKey = "collection"
	documentKey   = "document"
	versionKey    = "version"
	// refKey is the chunk, its document and version in one word: see refOf.
	refKey        = "ref"
	generationKey = "generation"
	// liveKey marks points that a search may find; the head decides.
	liveKey = "live"
	// aclKey lists principals, corpus.Public written out: a filter for an empty
	// list would also find points whose list is missing.
	aclKey = "acl"
	// metaKey lists metadata as words of key, type and value, so that one
	// index serves every key there will ever be.
	metaKey = "meta"
	// numbersKey lists numeric metadata again as objects, for ranges.
	numbersKey = "numbers"
	nameKey    = "name"
	valueKey   = "value"
	// leanKey is 10·(common English words) − words: the sum over a collection
	// says whether it is English (lexical.Foreign).
	leanKey = "lean"
)

// attributes are what filters read of a document.
type attributes struct {
	// ACL nil means everyone in the tenant.
	ACL      []string       `json:"acl"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

func checkAttributes(doc vector.Document) (attributes, error) {
	for key, v := range doc.Metadata {
		switch v := v.(type) {
		case string, bool:
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return attributes{}, fault.Invalidf("invalid_metadata", "metadata %q is not a finite number", key).WithField("metadata")
			}
		default:
			return attributes{}, fault.Invalidf("invalid_metadata", "metadata %q is not a string, number or boolean", key).WithField("metadata")
		}
	}
	return attributes{ACL: doc.ACL, Metadata: doc.Metadata}, nil
}

// payload returns the attributes as they are on every chunk of the document.
func (a attributes) payload() map[string]*qdrant.Value {
	principals := a.ACL
	if principals == nil {
		principals = []string{corpus.Public}
	}
	var words, numbers []*qdrant.Value
	for key, v := range a.Metadata {
		word, ok := metaWord(key, v)
		if !ok {
			continue
		}
		words = append(words, qdrant.NewValueString(word))
		if n, ok := v.(float64); ok {
			numbers = append(numbers, qdrant.NewValueFromFields(map[string]*qdrant.Value{
				nameKey: qdrant.NewValueString(text(key)), valueKey: qdrant.NewValueDouble(n),
			}))
		}
	}
	acl := make([]*qdrant.Value, len(principals))
	for i, p := range principals {
		acl[i] = qdrant.NewValueString(text(p))
	}
	return map[string]*qdrant.Value{
		aclKey: qdrant.NewValueFromList(acl...), metaKey: qdrant.NewValueFromList(words...), numbersKey: qdrant.NewValueFromList(numbers...),
	}
}

// metaWord returns a key and its value as one word: the key's length first,
// so that no key and value look like another's, then the type.
func metaWord(key string, value any) (word string, ok bool) {
	head := strconv.Itoa(len(key)) + ":" + key
	switch v := value.(type) {
	case string:
		return text(head + "=s" + v), true
	case bool:
		return text(head + "=b" + strconv.FormatBool(v)), true
	case float64:
		if v == 0 {
			v = 0 // of the two zeros, the one without a sign
		}
		return text(head + "=n" + strconv.FormatFloat(v, 'g', -1, 64)), true
	}
	return "", false
}

// text returns s as the protocol can carry it: what is not UTF-8 is quoted.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return "\x00" + strconv.QuoteToASCII(s)
}

// visible returns the filter of everything that a query may find.
func visible(q vector.Query) *qdrant.Filter {
	must := population(q)
	if nobody := []string{}; !q.Scope.Sees(nobody) { // the system's scope sees even what nobody may
		principals := make([]string, 0, len(q.Scope.Principals()))
		for _, p := range q.Scope.Principals() {
			principals = append(principals, text(p))
		}
		must = append(must, qdrant.NewMatchKeywords(aclKey, principals...))
	}
	for _, c := range q.Filter {
		must = append(must, condition(c))
	}
	return &qdrant.Filter{Must: must}
}

// population returns the conditions of all that a query searches, whoever may
// see it: IDF is computed over it.
func population(q vector.Query) []*qdrant.Condition {
	must := []*qdrant.Condition{qdrant.NewMatchKeyword(tenantKey, q.Scope.Tenant()), qdrant.NewMatchBool(liveKey, true)}
	switch len(q.Collections) {
	case 0:
	case 1:
		must = append(must, qdrant.NewMatchKeyword(collectionKey, text(q.Collections[0])))
	default:
		names := make([]string, len(q.Collections))
		for i, name := range q.Collections {
			names[i] = text(name)
		}
		must = append(must, qdrant.NewMatchKeywords(collectionKey, names...))
	}
	return must
}

func condition(c corpus.Condition) *qdrant.Condition {
	if c.GTE != nil || c.LTE != nil {
		return qdrant.NewNestedFilter(numbersKey, &qdrant.Filter{Must: []*qdrant.Condition{
			qdrant.NewMatchKeyword(nameKey, text(c.Key)), qdrant.NewRange(valueKey, &qdrant.Range{Gte: c.GTE, Lte: c.LTE}),
		}})
	}
	words := make([]string, 0, len(c.AnyOf))
	for _, v := range c.AnyOf {
		if word, ok := metaWord(c.Key, v); ok {
			words = append(words, word)
		}
	}
	return qdrant.NewMatchKeywords(metaKey, words...) // none: matches nothing
}

// ofDocument returns the conditions of all points of a document.
func ofDocument(tenant, document string) []*qdrant.Condition {
	return []*qdrant.Condition{qdrant.NewMatchKeyword(tenantKey, tenant), qdrant.NewMatchKeyword(documentKey, document)}
}

// ofVersion returns the filter of all points of a version.
func ofVersion(tenant, document, version string) *qdrant.Filter {
	return &qdrant.Filter{Must: append(ofDocument(tenant, document), qdrant.NewMatchKeyword(versionKey, version))}
}

// upTo is the condition of points that a generation, or one before it, has written.
func upTo(generation int64) *qdrant.Condition {
	most := float64(generation)
	return qdrant.NewRange(generationKey, &qdrant.Range{Lte: &most})
}

func checkDocument(doc vector.Document) error {
	for _, id := range []struct{ field, value string }{
		{"tenant", doc.Tenant}, {"collection", doc.Collection}, {"id", doc.ID}, {"version", doc.Version},
	} {
		if err := corpus.CheckToken(id.field, id.value); err != nil {
			return fmt.Errorf("check the document: %w", err)
		}
	}
	return nil
}

// checkVector returns an Invalid fault unless v has the dimensions and is
// finite: the server stores NaN and finds it first.
func checkVector(v []float32, dimensions int) error {
	if len(v) != dimensions {
		return fault.Invalidf("invalid_vector", "a vector has %d dimensions; the index has %d", len(v), dimensions).WithField("dense")
	}
	for _, x := range v {
		if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
			return fault.Invalidf("invalid_vector", "a vector holds NaN or infinity").WithField("dense")
		}
	}
	return nil
}

func (a attributes) equal(b attributes) bool {
	return (a.ACL == nil) == (b.ACL == nil) && slices.Equal(a.ACL, b.ACL) && maps.Equal(a.Metadata, b.Metadata)
}
