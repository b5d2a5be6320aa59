package catalogtest

import (
	"maps"
	"slices"
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// work is every method that takes a Ref, as a worker would call it.
func (f *fixture) work(t *testing.T, d corpus.Document, r catalog.Ref) map[string]func() error {
	t.Helper()
	return map[string]func() error{
		"Begin":     func() error { _, _, err := f.Begin(t.Context(), r); return err },
		"PutChunks": func() error { return f.PutChunks(t.Context(), r, chunksOf(d, 3)) },
		"Extracted": func() error {
			_, _, err := f.Extracted(t.Context(), r, catalog.Extraction{Chunks: 3, Title: "late"})
			return err
		},
		"Chunks":        func() error { _, _, err := f.Chunks(t.Context(), r, catalog.Batch{To: 3}); return err },
		"OpenBatches":   func() error { _, err := f.OpenBatches(t.Context(), r); return err },
		"FinishBatch":   func() error { _, err := f.FinishBatch(t.Context(), r, 0); return err },
		"PutVectors":    func() error { return f.PutVectors(t.Context(), r, "p", map[string][]float32{"late": {1}}) },
		"GoLive":        func() error { _, err := f.GoLive(t.Context(), r); return err },
		"SweepVersions": func() error { return f.SweepVersions(t.Context(), r) },
		"ForgetBlobs":   func() error { return f.ForgetBlobs(t.Context(), r, []string{"documents/x"}) },
		"Fail": func() error {
			_, err := f.Fail(t.Context(), r, corpus.Failure{Code: "late"})
			return err
		},
		"Removed": func() error { _, err := f.Removed(t.Context(), r); return err },
	}
}

// allowed is which work a state takes, in its own generation.
func allowed() map[corpus.Status][]string {
	return map[corpus.Status][]string{
		corpus.Accepted:   {"Begin", "Fail"},
		corpus.Extracting: {"Begin", "Extracted", "Fail", "PutChunks"},
		corpus.Embedding:  {"Chunks", "Extracted", "Fail", "FinishBatch", "GoLive", "OpenBatches", "PutVectors"},
		corpus.Indexed:    {"Chunks", "FinishBatch", "ForgetBlobs", "GoLive", "PutVectors", "SweepVersions"},
		corpus.Failed:     {"Fail"},
		corpus.Deleting:   {"ForgetBlobs", "Removed"},
		corpus.Deleted:    {"ForgetBlobs", "Removed"},
	}
}

// reach makes a document in a state.
func (f *fixture) reach(t *testing.T, id string, status corpus.Status) corpus.Document {
	t.Helper()
	doc := f.accept(t, upload(id, "one"), catalog.Created)
	switch status {
	case corpus.Accepted:
	case corpus.Extracting:
		if _, _, err := f.Begin(t.Context(), ref(doc)); err != nil {
			t.Fatal(err)
		}
		if err := f.PutChunks(t.Context(), ref(doc), chunksOf(doc, 3)); err != nil {
			t.Fatal(err)
		}
	case corpus.Embedding:
		f.extract(t, doc, 3)
	case corpus.Indexed:
		f.index(t, doc, 3)
	case corpus.Failed:
		f.fail(t, doc, true)
	case corpus.Deleting, corpus.Deleted:
		f.index(t, doc, 3)
		f.delete(t, id)
	}
	doc = f.current(t, id)
	if status == corpus.Deleted {
		if _, err := f.Removed(t.Context(), ref(doc)); err != nil {
			t.Fatal(err)
		}
	}
	return f.current(t, id)
}

func fenceCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"each state takes its own work and no other": func(t *testing.T, f *fixture) {
			for status, names := range allowed() {
				for name := range f.work(t, corpus.Document{}, catalog.Ref{}) {
					id := string(status) + "-" + name
					doc := f.reach(t, id, status)
					wantStatus(t, doc, status, doc.Generation)
					err := f.work(t, doc, ref(doc))[name]()
					switch may := slices.Contains(names, name); {
					case !may:
						wantStale(t, name+" when "+string(status), err)
						wantEqual(t, name+" when "+string(status), f.current(t, id), doc)
					case name == "GoLive" && status == corpus.Embedding:
						if err == nil {
							t.Error("it went live with an open batch")
						}
					case err != nil:
						t.Errorf("%s when %s: %v", name, status, err)
					}
				}
			}
		},
		"work of an older or a later generation changes nothing": func(t *testing.T, f *fixture) {
			for status := range allowed() {
				id := string(status)
				doc := f.reach(t, id, status)
				for _, generation := range []int64{0, doc.Generation - 1, doc.Generation + 1} {
					r := catalog.Ref{Tenant: tenant, ID: id, Generation: generation}
					for name, do := range f.work(t, doc, r) {
						wantStale(t, name+" when "+id, do())
					}
					_, err := f.StaleBlobs(t.Context(), r)
					wantStale(t, "StaleBlobs when "+id, err)
				}
				wantEqual(t, id, f.current(t, id), doc)
			}
		},
		"work on a document that never was finds nothing": func(t *testing.T, f *fixture) {
			f.accept(t, upload("d", "one"), catalog.Created)
			for _, r := range []catalog.Ref{{Tenant: tenant, ID: "e", Generation: 1}, {Tenant: "other", ID: "d", Generation: 1}} {
				for name, do := range f.work(t, corpus.Document{Tenant: r.Tenant, ID: r.ID}, r) {
					wantNotFound(t, name, do())
				}
			}
		},
		"states only move forward": func(t *testing.T, f *fixture) {
			order := []corpus.Status{corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Indexed, corpus.Failed, corpus.Deleting, corpus.Deleted}
			for _, status := range order {
				names := slices.Sorted(maps.Keys(f.work(t, corpus.Document{}, catalog.Ref{})))
				for _, name := range names {
					id := "f-" + string(status) + "-" + name
					doc := f.reach(t, id, status)
					_ = f.work(t, doc, ref(doc))[name]()
					got := f.current(t, id)
					if slices.Index(order, got.Status) < slices.Index(order, status) || got.Generation != doc.Generation {
						t.Errorf("%s moved a document from %s to %s", name, status, got.Status)
					}
				}
			}
		},
	}
}
