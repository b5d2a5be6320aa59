package extract

import (
	"archive/zip"
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func makeZip(t testing.TB, entries map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range entries {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := newFrameWriter(&b)
	want := Page{Number: 3, Offset: 9, Text: "a <b> & \u2028 ü\n", Headings: []Heading{{Start: 1, Level: 2, Text: "h"}}}
	if err := errors.Join(w.write(framePage, want), w.write(frameEnd, openedBody{Pages: 3}), w.flush()); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(&b)
	kind, body, err := readFrame(r)
	if err != nil || kind != framePage {
		t.Fatalf("kind %c, %v", kind, err)
	}
	got, err := unpack[Page](body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if kind, _, err = readFrame(r); err != nil || kind != frameEnd {
		t.Errorf("kind %c, %v", kind, err)
	}
	if _, _, err = readFrame(r); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
}

func TestFrameTooLargeIsNeitherWrittenNorRead(t *testing.T) {
	t.Parallel()
	err := newFrameWriter(io.Discard).write(framePage, Page{Text: string(bytes.Repeat([]byte("x"), maxFrame))})
	wantFault(t, err, "too_complex")
	_, _, err = readFrame(bufio.NewReader(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff, 'p'})))
	if !errors.Is(err, errFrame) {
		t.Errorf("error is %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	var b bytes.Buffer
	w := newFrameWriter(&b)
	if err := errors.Join(w.write(frameOpened, openedBody{Pages: 2}), w.write(frameStarted, pageBody{Page: 1}),
		w.write(framePage, Page{Text: "x"}), w.write(frameFault, faultBody{Message: "m"}), w.flush()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{0, 0, 0, 3, 's', '{', '}'})
	f.Add([]byte{0, 1, 0, 0, 'p'})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bufio.NewReader(bytes.NewReader(stream))
		p := &progress{}
		s := &sink{emit: func(Page) error { return nil }, maxBytes: 1 << 20}
		for {
			kind, body, err := readFrame(r)
			if err != nil {
				return
			}
			if len(body) > len(stream) {
				t.Fatalf("a body of %d bytes out of %d", len(body), len(stream))
			}
			if err := p.frame(kind, body, s); err != nil && err.Error() == "" {
				t.Error("an error without words")
			}
		}
	})
}
