package generator

import (
	"sync/atomic"
	"time"
)

const (
	// framesPerSecond is how many frames of text a process sends at most to all
	// readers together, as long as none waits for more than longestWait: each
	// costs a tenth of a millisecond of processor time on its way through
	// broker and gateway, whatever is in it.
	framesPerSecond = 1000
	// longestWait still reads as text that flows.
	longestWait = 100 * time.Millisecond
)

// pace is shared by the speakers of a process: the more of them speak, the
// more text shares a frame. It is safe for concurrent use.
type pace struct {
	// least is how long text may wait when few speak.
	least    time.Duration
	speaking atomic.Int64
}

// begin counts an answer whose text is sent as it comes; others cost no frames.
func (p *pace) begin(stream bool) {
	if stream {
		p.speaking.Add(1)
	}
}

// end is called as often as begin.
func (p *pace) end(stream bool) {
	if stream {
		p.speaking.Add(-1)
	}
}

// wait returns how long text may wait for more to share its frame.
func (p *pace) wait() time.Duration {
	share := time.Duration(p.speaking.Load()) * time.Second / framesPerSecond
	return max(p.least, min(share, longestWait))
}
