package admission

import (
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/event"
)

// turnOf returns the turn of work that the record promises. Facts are no work,
// and what pipelines send is not on record yet: neither can wait here.
func turnOf(e event.Event) (catalog.Turn, bool) {
	t := catalog.Turn{Tenant: e.Tenant, Salt: e.Salt()}
	switch d := e.Data.(type) {
	case event.DocumentUploaded:
		t.ID, t.Step, t.Number = d.ID, catalog.Extract, d.Generation
	case event.ChunksReady:
		t.ID, t.Step, t.Number, t.Next = d.ID, catalog.Embed, d.Generation, d.Batch
	case event.DocumentDeleted:
		t.ID, t.Step, t.Number = d.ID, catalog.Remove, d.Generation
	case event.DocumentChanged:
		t.ID, t.Step, t.Number = d.ID, catalog.Describe, d.Revision
	}
	return t, t.Number > 0
}

// kindOf returns the kind of event that a step's work is given out as.
func kindOf(step catalog.Step) event.Kind {
	switch step {
	case catalog.Embed:
		return event.KindChunksReady
	case catalog.Remove:
		return event.KindDocumentDeleted
	case catalog.Describe:
		return event.KindDocumentChanged
	case catalog.Extract:
	}
	return event.KindDocumentUploaded
}

// stepOf is the inverse of kindOf; false for what is not ingestion work.
func stepOf(kind event.Kind) (catalog.Step, bool) {
	for _, step := range []catalog.Step{catalog.Extract, catalog.Embed, catalog.Remove, catalog.Describe} {
		if kindOf(step) == kind {
			return step, true
		}
	}
	return "", false
}

// eventOf is the inverse of turnOf, but for [catalog.Embed], whose batches are
// looked up.
func eventOf(t catalog.Turn, now time.Time) event.Event {
	var data event.Payload
	switch t.Step {
	case catalog.Remove:
		data = event.DocumentDeleted{ID: t.ID, Generation: t.Number}
	case catalog.Describe:
		data = event.DocumentChanged{ID: t.ID, Revision: t.Number}
	case catalog.Extract, catalog.Embed:
		data = event.DocumentUploaded{ID: t.ID, Generation: t.Number}
	}
	return salted(event.New(t.Tenant, now, data), t.Salt)
}

func salted(e event.Event, salt string) event.Event {
	if salt == "" {
		return e
	}
	return e.Resent(salt)
}
