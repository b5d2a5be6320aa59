package evidence

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/recent"
)

func TestPassagesReadLastAreRemembered(t *testing.T) {
	t.Parallel()
	j := NewJudge(lexical.New(), DefaultThresholds())
	text := func(n int) string { return fmt.Sprintf("The archive has %04d rooms.", n) }
	weighs := weight("", j.read(text(0)))
	j.known = recent.New(4*weighs, weight)
	first, second := j.Read(text(0)), j.Read(text(1))
	for n := 2; n < 100; n++ {
		j.Read(text(n))
		if j.Read(text(0)) != first {
			t.Fatalf("a passage that is read all the time was forgotten after %d others", n)
		}
	}
	if j.Read(text(1)) == second {
		t.Error("98 other passages later one is still kept, in a space for eight")
	}
}

func TestARememberedPassageIsWhatItWas(t *testing.T) {
	t.Parallel()
	j := NewJudge(lexical.New(), DefaultThresholds())
	j.known = recent.New(2000, weight) // so that most are forgotten all the time
	texts := make([]string, 12)
	for i := range texts {
		texts[i] = fmt.Sprintf("Room %d is open. It has %d seats, not %d.", i, i+3, i+4)
	}
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for i := range 300 {
				n := (i * 7) % len(texts)
				p, c := j.Read(texts[n]), NewClaim(fmt.Sprintf("Room %d is open.", n), nil)
				if v := p.Check(c); !v.Supported || p.Text != texts[n] {
					t.Errorf("%q: %+v", p.Text, v)
					return
				}
			}
		})
	}
	work.Wait()
	same := cmp.Options{cmp.AllowUnexported(Passage{}, part{}), cmpopts.IgnoreFields(Passage{}, "judge")}
	for _, text := range texts {
		if diff := cmp.Diff(j.read(text), j.Read(text), same); diff != "" {
			t.Errorf("%q (-fresh +remembered):\n%s", text, diff)
		}
	}
}

// The short way for ASCII decides as the long way does.
func TestNegationsOfASCII(t *testing.T) {
	t.Parallel()
	words := strings.FieldsSeq("not no never none neither nor without cannot lack lacks lacked lacking fail fails failed unable nobody nothing nicht kein niemals tampoco senza nooit inte ikke " +
		"n't isn't don’t mightn't unextraordinarilyn't counterrevolutionary notary knot no-one noted x 12 a")
	for w := range words {
		for _, form := range []string{w, strings.ToUpper(w), strings.ToUpper(w[:1]) + w[1:], "\"" + w + "\",", "--" + w + "...", w + "'", "1" + w} {
			want := negates(fold(form))
			for _, text := range []string{form, "It is " + form + " so.", "(" + form + ")", "\t" + form + "\n"} {
				if got := anyNegates(text); got != want {
					t.Errorf("%q: negates %v, want %v", text, got, want)
				}
			}
		}
	}
	for text, want := range map[string]bool{"": false, "...": false, "он не знает": true, "他不知道": true, "他知道": false, "wörter, ohne": true, "\xff not": true, "caf\u00a0not": true} {
		if got := anyNegates(text); got != want {
			t.Errorf("%q: negates %v, want %v", text, got, want)
		}
	}
}
