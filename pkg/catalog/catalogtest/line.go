package catalogtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ragbus/ragbus/pkg/catalog"
)

// turn names work of a document of the test's tenant.
func turn(step catalog.Step, id string, number int64) catalog.Turn {
	return catalog.Turn{Tenant: tenant, ID: id, Step: step, Number: number}
}

func (f *fixture) wait(t *testing.T, turns ...catalog.Turn) {
	t.Helper()
	for _, turn := range turns {
		if err := f.Wait(t.Context(), turn); err != nil {
			t.Fatal(err)
		}
	}
}

// wantLine fails unless a line has these turns, in order.
func (f *fixture) wantLine(t *testing.T, step catalog.Step, want ...catalog.Turn) {
	t.Helper()
	got, err := f.Waiting(t.Context(), tenant, step, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(catalog.Turn{}, "Since"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the line of %s (-want +got):\n%s", step, diff)
	}
}

func lineCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"what waits is counted by step, of all tenants": func(t *testing.T, f *fixture) {
			if got, err := f.Lengths(t.Context()); err != nil || len(got) != 0 {
				t.Fatalf("before anything waits: %v, %v", got, err)
			}
			others := turn(catalog.Extract, "a", 1)
			others.Tenant = "other"
			f.wait(t, turn(catalog.Extract, "a", 1), turn(catalog.Extract, "a", 2), others, turn(catalog.Remove, "c", 1))
			first, err := f.Waiting(t.Context(), tenant, catalog.Extract, 1)
			if err != nil {
				t.Fatal(err)
			}
			gone, err := f.Waiting(t.Context(), tenant, catalog.Remove, 1)
			if err != nil {
				t.Fatal(err)
			}
			want := []catalog.LineLength{{Step: catalog.Extract, Documents: 2, Since: first[0].Since}, {Step: catalog.Remove, Documents: 1, Since: gone[0].Since}}
			got, err := f.Lengths(t.Context())
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if err := f.GivenOut(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			if got, err := f.Lengths(t.Context()); err != nil || len(got) != 1 {
				t.Errorf("after the removal was given out: %v, %v", got, err)
			}
		},
		"work is given out in the order in which it came": func(t *testing.T, f *fixture) {
			var turns []catalog.Turn
			for i := range 12 {
				turns = append(turns, turn(catalog.Extract, fmt.Sprint("d", 97*(i+1)%31), 1))
			}
			f.wait(t, turns...)
			f.wait(t, turns[3]) // it keeps its place
			f.wantLine(t, catalog.Extract, turns...)
			f.wantLine(t, catalog.Embed)
			some, err := f.Waiting(t.Context(), tenant, catalog.Extract, 5)
			if err != nil || len(some) != 5 || some[0].Since.IsZero() {
				t.Fatalf("%v, %v", some, err)
			}
			for range 2 { // as after a crash
				if err := f.GivenOut(t.Context(), some); err != nil {
					t.Fatal(err)
				}
				f.wantLine(t, catalog.Extract, turns[5:]...)
			}
		},
		"of a document that waits the latest counts": func(t *testing.T, f *fixture) {
			f.wait(t, turn(catalog.Embed, "d", 2), turn(catalog.Embed, "e", 1))
			moved := turn(catalog.Embed, "d", 2)
			if err := f.Advance(t.Context(), moved, 7); err != nil {
				t.Fatal(err)
			}
			moved.Next = 7
			f.wantLine(t, catalog.Embed, moved, turn(catalog.Embed, "e", 1))
			if err := f.Advance(t.Context(), moved, 5); err != nil { // somebody slower
				t.Fatal(err)
			}
			f.wantLine(t, catalog.Embed, moved, turn(catalog.Embed, "e", 1))
			again := moved
			again.Next = 3
			f.wait(t, again, turn(catalog.Embed, "d", 1))
			f.wantLine(t, catalog.Embed, again, turn(catalog.Embed, "e", 1))
			// Whoever was at it does not jump over what was put back.
			if err := errors.Join(f.Advance(t.Context(), moved, 9), f.GivenOut(t.Context(), []catalog.Turn{moved})); err != nil {
				t.Fatal(err)
			}
			f.wantLine(t, catalog.Embed, again, turn(catalog.Embed, "e", 1))
			salted := again
			salted.Salt = "salt"
			f.wait(t, salted)
			if err := errors.Join(f.Advance(t.Context(), again, 9), f.GivenOut(t.Context(), []catalog.Turn{again})); err != nil {
				t.Fatal(err)
			}
			again = salted
			f.wantLine(t, catalog.Embed, again, turn(catalog.Embed, "e", 1))
			later := turn(catalog.Embed, "d", 3)
			later.Next = 9
			f.wait(t, later)
			f.wantLine(t, catalog.Embed, later, turn(catalog.Embed, "e", 1))
			// Whoever gave the earlier one out does not take the later one away.
			if err := errors.Join(f.GivenOut(t.Context(), []catalog.Turn{again}), f.Advance(t.Context(), again, 99)); err != nil {
				t.Fatal(err)
			}
			f.wantLine(t, catalog.Embed, later, turn(catalog.Embed, "e", 1))
		},
		"every line is found, however long the others are": func(t *testing.T, f *fixture) {
			want := []string{}
			for _, owner := range []string{"a", "b", "c"} {
				for _, step := range []catalog.Step{catalog.Describe, catalog.Embed, catalog.Extract, catalog.Remove} {
					want = append(want, owner+" "+string(step))
					for i := range 4 {
						f.wait(t, catalog.Turn{Tenant: owner, ID: fmt.Sprint("d", i), Step: step, Number: 1})
					}
				}
			}
			got, at := []string{}, catalog.Turn{}
			for {
				lines, err := f.Lines(t.Context(), at.Tenant, at.Step, 5)
				if err != nil {
					t.Fatal(err)
				}
				if len(lines) == 0 {
					break
				}
				for _, l := range lines {
					got = append(got, l.Tenant+" "+string(l.Step))
				}
				at = lines[len(lines)-1]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if turns, err := f.Waiting(t.Context(), "b", catalog.Remove, 100); err != nil || len(turns) != 4 || turns[0].Tenant != "b" {
				t.Errorf("%v, %v", turns, err)
			}
		},
		"what waits is not stalled, and is again when it was given out": func(t *testing.T, f *fixture) {
			fence := f.fence(t)
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			soon := time.Now().Add(time.Hour)
			stalled := func(before time.Time) string {
				docs, err := f.Claim(t.Context(), fence, before, 10)
				if err != nil {
					t.Fatal(err)
				}
				return ids(docs)
			}
			own := turn(catalog.Extract, "d", doc.Generation)
			f.wait(t, own)
			if got := stalled(soon); got != "" {
				t.Errorf("stalled while it waits: %s", got)
			}
			if got := stalled(time.Now().Add(25 * time.Hour)); got != "d" {
				t.Errorf("forgotten for ever: %q", got)
			}
			f.wait(t, own)
			if err := f.GivenOut(t.Context(), []catalog.Turn{own}); err != nil {
				t.Fatal(err)
			}
			if got := stalled(soon); got != "d" {
				t.Errorf("stalled after it was given out: %q", got)
			}
			f.wait(t, turn(catalog.Extract, "d", doc.Generation+1)) // of no such generation
			if got := stalled(soon); got != "d" {
				t.Errorf("stalled: %q", got)
			}
		},
		"a settled document stays settled": func(t *testing.T, f *fixture) {
			doc := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 3)
			own := turn(catalog.Extract, "d", doc.Generation)
			f.wait(t, own)
			if err := f.GivenOut(t.Context(), []catalog.Turn{own}); err != nil {
				t.Fatal(err)
			}
			if docs, err := f.Claim(t.Context(), f.fence(t), time.Now().Add(1000*time.Hour), 10); err != nil || len(docs) > 0 {
				t.Errorf("claimed %s, %v", ids(docs), err)
			}
		},
		"a change that waits is not told again meanwhile": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			acl := []string{"group:x"}
			doc, err := f.Patch(t.Context(), f.system, doc.ID, catalog.Patch{ACL: &acl})
			if err != nil {
				t.Fatal(err)
			}
			fence, soon := f.fence(t), time.Now().Add(time.Hour)
			own := turn(catalog.Describe, "d", doc.UpdatedAt.UnixMicro())
			f.wait(t, own)
			if changes, err := f.Unconfirmed(t.Context(), fence, soon, 10); err != nil || len(changes) > 0 {
				t.Errorf("%v, %v", changes, err)
			}
			if err := f.GivenOut(t.Context(), []catalog.Turn{own}); err != nil {
				t.Fatal(err)
			}
			if changes, err := f.Unconfirmed(t.Context(), fence, soon, 10); err != nil || len(changes) != 1 {
				t.Errorf("%v, %v", changes, err)
			}
		},
		"open batches from a number on": func(t *testing.T, f *fixture) {
			doc, _ := f.extract(t, f.accept(t, upload("d", "one"), catalog.Created), 5*catalog.BatchSize)
			for _, n := range []int{1, 3} {
				if _, err := f.FinishBatch(t.Context(), ref(doc), n); err != nil {
					t.Fatal(err)
				}
			}
			numbers := func(next, limit int) string {
				_, open, err := f.OpenFrom(t.Context(), ref(doc), next, limit)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, b := range open {
					if b.From != b.Number*catalog.BatchSize || b.To != b.From+catalog.BatchSize {
						t.Errorf("batch %+v", b)
					}
					got = append(got, fmt.Sprint(b.Number))
				}
				return strings.Join(got, " ")
			}
			if got := []string{numbers(0, 9), numbers(1, 9), numbers(0, 2), numbers(5, 9)}; !slices.Equal(got, []string{"0 2 4", "2 4", "0 2", ""}) {
				t.Errorf("%q", got)
			}
			if _, _, err := f.OpenFrom(t.Context(), catalog.Ref{Tenant: tenant, ID: "d", Generation: 9}, 0, 1); !errors.Is(err, catalog.ErrStale) {
				t.Errorf("of another generation: %v", err)
			}
		},
	}
}
