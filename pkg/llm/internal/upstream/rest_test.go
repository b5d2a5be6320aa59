package upstream

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// pieces is a body that comes piece by piece, and counts its reads.
type pieces struct {
	left  []string
	reads *int
}

func (p *pieces) Read(b []byte) (int, error) {
	*p.reads++
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; p.left[0] == "" {
		p.left = p.left[1:]
	}
	return n, nil
}

func (*pieces) Close() error { return nil }

// TestTheReaderRestsBeforeItWaits for more, not before the first piece, nor
// behind the last, nor when a read has left something.
func TestTheReaderRestsBeforeItWaits(t *testing.T) {
	t.Parallel()
	reads := 0
	var rested []int // before which reads
	ctx, call := Begin(t.Context(), Limits{time.Minute, time.Minute}, func() { rested = append(rested, reads+1) })
	defer call.End()
	long := strings.Repeat("x", 3000)
	client := Client(answering(func(r *http.Request) *http.Response {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Request: r,
			Body: &pieces{left: []string{"1", "2", "3", long, "5", "6", "7", "8"}, reads: &reads},
		}
	}))
	resp, err := Post(ctx, client, "http://h/", http.Header{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got strings.Builder
	for p := make([]byte, 2900); ; {
		n, err := resp.Body.Read(p)
		if err != nil {
			break
		}
		got.Write(p[:n])
		switch got.String()[got.Len()-1] {
		case '2': // has the first piece of the answer
			call.Deliver(func() bool { return true })
		case '7': // the last
			call.Whole()
		}
	}
	if want := "123" + long + "5678"; got.String() != want {
		t.Errorf("read %d bytes, want %d", got.Len(), len(want))
	}
	// The fourth read fills the buffer, the fifth brings the rest of it.
	if want := []int{3, 4, 6, 7, 8}; !slices.Equal(rested, want) || reads != 10 {
		t.Errorf("rested before the reads %v of %d, want %v of 10", rested, reads, want)
	}
}
