package embeddedvector

import (
	"encoding/json"
	"fmt"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// attributes are what filters read of a document. They are immutable.
type attributes struct {
	acl      []string
	metadata map[string]any
}

// storedAttributes is their form in the database. What memory holds is
// always read back from it, so that a restart changes nothing.
type storedAttributes struct {
	ACL      []string       `json:"acl"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

func encodeAttributes(doc vector.Document) (string, *attributes, error) {
	for key, v := range doc.Metadata {
		switch v.(type) {
		case string, float64, bool:
		default:
			return "", nil, fault.Invalidf("invalid_metadata", "metadata %q is not a string, number or boolean", key).WithField("metadata")
		}
	}
	text, err := json.Marshal(storedAttributes{ACL: doc.ACL, Metadata: doc.Metadata})
	if err != nil {
		return "", nil, fault.Invalidf("invalid_metadata", "metadata cannot be stored").WithField("metadata").WithCause(err)
	}
	a, err := decodeAttributes(string(text))
	return string(text), a, err
}

func decodeAttributes(text string) (*attributes, error) {
	var s storedAttributes
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("decode the attributes of a document: %w", err)
	}
	return &attributes{acl: s.ACL, metadata: s.Metadata}, nil
}

func (a *attributes) visible(scope corpus.Scope, filter corpus.Filter) bool {
	return scope.Sees(a.acl) && filter.Matches(a.metadata)
}
