package reply

import (
	"bytes"
	"encoding/json"
	"slices"
)

// Kind says what a reader is told.
type Kind string

// The kinds of update. Restarted means: discard what came so far. Lost means
// that frames are missing: the assembler has not moved, and goes on when it
// is given what it lacks, in order, from [Replay]. Ended and Failed are last.
const (
	Sourced   Kind = "sources"
	Added     Kind = "delta"
	Cited     Kind = "citation"
	Restarted Kind = "restart"
	Ended     Kind = "end"
	Failed    Kind = "error"
	Lost      Kind = "lost"
)

// Update is one thing that a reader is told.
type Update struct {
	Kind Kind
	// Data is that of the frame: text for Added, JSON else, nil for Restarted and Lost.
	Data []byte
}

// Assembler folds frames into updates. It is a pure function of the frames
// that it is given: every gateway that folds the same frames tells its
// readers the same, in the same order. The zero value is ready. It is not
// safe for concurrent use.
type Assembler struct {
	retrieve progress
	generate progress
	// shown says that text or citations of the current attempt were told.
	shown   bool
	closed  bool
	sources []byte
	// found are the sources of all retrievals: which of them an answer is
	// written from, its first frame says.
	found [][]byte
}

// progress is the last frame taken of a stage.
type progress struct {
	work         int64
	attempt, seq int
	writer       string
	// retired are the writers of the same attempt before this one, the last maxFound.
	retired []string
}

// follows reports whether the frame is of a newer attempt: a later one at the
// same message, or any at a message that was stored later.
func (p progress) follows(f Frame) bool {
	return f.Work > p.work || f.Work == p.work && f.Attempt > p.attempt
}

// step is what a frame means for its stage.
type step uint8

const (
	stepIgnore step = iota
	stepNext
	stepRestart
	stepGap
)

// of reports whether the frame is of the attempt, and by whom it is known to
// be written. A frame that does not say by whom is taken for one of theirs.
func (p progress) of(f Frame) (attempt, writer bool) {
	attempt = f.Work == p.work && f.Attempt == p.attempt
	return attempt, attempt && (f.Writer == p.writer || f.Writer == "")
}

// takesOver reports whether the frame is of another writer of the same
// attempt, who has not been seen before. Whoever comes last is believed: the
// one before may be dead, and is not listened to any more.
func (p progress) takesOver(f Frame) bool {
	attempt, writer := p.of(f)
	return attempt && !writer && !slices.Contains(p.retired, f.Writer)
}

// to returns the progress that a frame makes.
func (p progress) to(f Frame) progress {
	switch attempt, writer := p.of(f); {
	case writer:
		p.seq = f.Seq
		return p
	case attempt:
		return progress{f.Work, f.Attempt, f.Seq, f.Writer, append(p.retired[max(0, len(p.retired)-maxFound+1):], p.writer)}
	}
	return progress{work: f.Work, attempt: f.Attempt, seq: f.Seq, writer: f.Writer}
}

// departs reports whether the frame is of another attempt than the last one
// taken, newer or older, or of the first one and that is none's first try.
func (p progress) departs(f Frame) bool {
	if p.attempt == 0 {
		return f.Attempt > 1
	}
	_, same := p.of(f)
	return !same
}

// step reports whether a frame is the next one, that of a newer attempt, old, or too far ahead.
func (p progress) step(f Frame) step {
	_, same := p.of(f)
	switch {
	case !same && !p.follows(f) && !p.takesOver(f), same && f.Seq <= p.seq:
		return stepIgnore
	case same && f.Seq == p.seq+1:
		return stepNext
	case !same && f.Seq == 1:
		return stepRestart
	default:
		return stepGap
	}
}

// Departs reports whether a frame, which Next has not been given yet, is of
// another attempt at its stage than the frames before it, or is the first and of
// a later one. What two tell who write beside each other may come in another
// order, and what came before a later attempt may not have come at all: as many
// events may then have told something else.
func (a *Assembler) Departs(f Frame) bool {
	switch {
	case a.closed || f.Type == KeepAlive:
		return false
	case f.Stage == Generate:
		return a.generate.departs(f)
	case a.sources != nil && bytes.Equal(a.sources, f.Data):
		return false
	}
	return a.retrieve.departs(f)
}

// Next takes a frame and returns what the reader is to be told, in order;
// often nothing. Frames that were taken before, frames of an older attempt,
// frames of the retrieval once generation has begun, and whatever comes after
// the end are ignored.
func (a *Assembler) Next(f Frame) []Update {
	if a.closed || f.Type == KeepAlive {
		return nil
	}
	if f.Stage == Retrieve && f.Type == Sources {
		a.remember(f.Data)
	}
	p := &a.retrieve
	if f.Stage == Generate {
		p = &a.generate
	} else if a.generate.attempt > 0 {
		return nil
	}
	s := p.step(f)
	switch s {
	case stepIgnore:
		return nil
	case stepGap:
		return []Update{{Kind: Lost}}
	case stepNext, stepRestart:
	}
	other, known := a.writtenFrom(f)
	if !known {
		return []Update{{Kind: Lost}}
	}
	*p = p.to(f)
	if other != nil {
		a.sources = other
	}
	var updates []Update
	if s == stepRestart && f.Stage == Generate {
		updates = a.restart(f)
	}
	if other != nil && len(updates) == 0 {
		updates = []Update{{Kind: Sourced, Data: other}}
	}
	return append(updates, a.take(f)...)
}

// maxFound is of how many retrievals the sources are remembered, and how many
// writers of one attempt, the last ones: more than a question is delivered with
// any luck. What is forgotten is read from the record.
const maxFound = 8

func (a *Assembler) remember(sources []byte) {
	if slices.ContainsFunc(a.found, func(s []byte) bool { return bytes.Equal(s, sources) }) {
		return
	}
	a.found = append(a.found[max(0, len(a.found)-maxFound+1):], sources)
}

// writtenFrom returns the sources that the frame's attempt is written from,
// when they are others than those told last; known is false when they are
// none of those that were found.
func (a *Assembler) writtenFrom(f Frame) (other []byte, known bool) {
	if f.Stage != Generate || f.Sources == "" || f.Type == Sources || f.Type == Error || digest(a.sources) == f.Sources {
		return nil, true
	}
	for _, found := range a.found {
		if digest(found) == f.Sources {
			return found, true
		}
	}
	return nil, false
}

// restart begins another attempt. The reader is told only when it has been
// shown something, and gets the sources again, for it discards them too.
func (a *Assembler) restart(f Frame) []Update {
	if !a.shown || f.Type == Error {
		return nil
	}
	a.shown = false
	updates := []Update{{Kind: Restarted}}
	if a.sources != nil && f.Type != Sources {
		updates = append(updates, Update{Kind: Sourced, Data: a.sources})
	}
	return updates
}

func (a *Assembler) take(f Frame) []Update {
	switch f.Type {
	case Sources:
		if bytes.Equal(a.sources, f.Data) {
			return nil
		}
		a.sources = f.Data
		return []Update{{Kind: Sourced, Data: f.Data}}
	case Delta:
		a.shown = true
		return []Update{{Kind: Added, Data: f.Data}}
	case Citation:
		a.shown = true
		return []Update{{Kind: Cited, Data: f.Data}}
	case End:
		a.closed = true
		return []Update{{Kind: Ended, Data: f.Data}}
	case Error:
		a.closed = true
		return []Update{{Kind: Failed, Data: f.Data}}
	case Usage, KeepAlive:
	}
	return nil
}

// Closed reports whether the answer has its end or error.
func (a *Assembler) Closed() bool { return a.closed }

// Sources returns the JSON of the sources, or nil. Do not modify.
func (a *Assembler) Sources() json.RawMessage { return a.sources }
