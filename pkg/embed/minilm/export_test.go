package minilm

import "errors"

// FailLoads makes the next n loads of the model fail with ErrTestLoad.
func (e *Embedder) FailLoads(n int) {
	load := e.load
	e.load = func() (*model, error) {
		if n > 0 {
			n--
			return nil, ErrTestLoad
		}
		return load()
	}
}

// ErrTestLoad is the failure that FailLoads scripts.
var ErrTestLoad = errors.New("scripted failure")
