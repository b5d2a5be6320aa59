package deadletter

import (
	"strings"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// suspects returns the parts that the work may have failed at: the one that
// its code names, all that its stage needs when the code names none, and none
// when the work itself was at fault.
func (l Letter) suspects() []string {
	prefix, _, _ := strings.Cut(l.Code, "_")
	switch prefix {
	case "model":
		return []string{"llm"}
	case "embedder":
		return []string{"embedder"}
	case "index", "vector":
		return []string{"vector_store"}
	case "database":
		return []string{"database"}
	case "blob", "storage":
		return []string{"blob_store"}
	}
	switch l.Code {
	case "attempts_exhausted", "internal", "too_old", "deadline_exceeded", "throttled", "upstream_unavailable", "terminated":
		return needs(l.Stage, l.Kind)
	}
	if l.Class == fault.Transient || l.Class == fault.Throttled {
		return needs(l.Stage, l.Kind)
	}
	return nil
}

// needs returns the parts without which a stage cannot do its work.
func needs(stage string, kind event.Kind) []string {
	switch stage {
	case broker.ConsumerIngestorExtract:
		if kind == event.KindDocumentUploaded {
			return []string{"database", "blob_store"}
		}
		return []string{"database", "vector_store"}
	case broker.ConsumerIngestorEmbed:
		return []string{"database", "embedder", "vector_store"}
	case broker.ConsumerRetriever:
		return []string{"database", "embedder", "vector_store"}
	case broker.ConsumerGenerator:
		return []string{"database", "llm"}
	}
	return nil
}
