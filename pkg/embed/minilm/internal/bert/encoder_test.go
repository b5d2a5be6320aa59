package bert_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/bert"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/kernel"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/weights"
)

func open(t testing.TB) *bert.Encoder {
	t.Helper()
	model, err := bert.Parse(weights.Model)
	if err != nil {
		t.Fatal(err)
	}
	return bert.NewEncoder(model, kernel.Best())
}

func goOn() error { return nil }

// sentence returns n valid tokens that depend on seed.
func sentence(n, seed int) []uint16 {
	tokens := make([]uint16, n)
	for i := range tokens {
		tokens[i] = uint16(1000 + (seed*7919+i*104729)%20000)
	}
	return tokens
}

func TestABrokenAssetIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ asset, want string }{
		"empty":           {"", "has 0 bytes"},
		"cut":             {weights.Model[:len(weights.Model)-1], "bytes, want"},
		"too long":        {weights.Model + "x", "bytes, want"},
		"another version": {strings.Replace(weights.Model, "int8/1", "int8/2", 1), `begins with "minilm-l6-int8/2"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := bert.Parse(c.asset); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestTokensOutsideTheModelAreRefused(t *testing.T) {
	t.Parallel()
	for name, tokens := range map[string][]uint16{
		"none": nil, "too many": sentence(bert.MaxTokens+1, 1), "unknown id": {101, bert.Vocabulary, 102},
	} {
		if err := open(t).Encode(make([]float32, bert.Hidden), tokens, goOn); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestATextDoesNotDependOnTheOneBefore encodes lengths that use every
// remainder of tiles and panels, fresh and after a longer text.
func TestATextDoesNotDependOnTheOneBefore(t *testing.T) {
	t.Parallel()
	fresh, used := make([]float32, bert.Hidden), make([]float32, bert.Hidden)
	encoder := open(t)
	for _, n := range []int{1, 2, 3, 5, 7, 8, 15, 16, 17, 23, 25, 47, 48, 49, 53, 97, 255, 256} {
		if err := open(t).Encode(fresh, sentence(n, n), goOn); err != nil {
			t.Fatal(err)
		}
		if err := encoder.Encode(used, sentence(bert.MaxTokens, n+1), goOn); err != nil {
			t.Fatal(err)
		}
		if err := encoder.Encode(used, sentence(n, n), goOn); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(fresh, used) {
			t.Errorf("%d tokens have another vector after a longer text", n)
		}
	}
}

func TestAnErrorOfPauseEndsTheWork(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	encoder, vector := open(t), make([]float32, bert.Hidden)
	pauses := 0
	if err := encoder.Encode(vector, sentence(64, 1), func() error { pauses++; return nil }); err != nil {
		t.Fatal(err)
	}
	if pauses < 10*bert.Layers {
		t.Errorf("%d pauses in %d layers, want at least 10 each", pauses, bert.Layers)
	}
	for _, last := range []int{1, pauses / 2, pauses} {
		n := 0
		err := encoder.Encode(vector, sentence(64, 1), func() error {
			if n++; n == last {
				return stop
			}
			return nil
		})
		if !errors.Is(err, stop) || n != last {
			t.Errorf("stopped in pause %d of %d: error %v after %d", last, pauses, err, n)
		}
	}
}
