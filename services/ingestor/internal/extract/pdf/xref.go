package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxObjects bounds the object numbers of a file; it is the format's own limit.
const maxObjects = 8_388_607

// entry says where an object is: at an offset of the file, or as the
// offset-th object of an object stream.
type entry struct {
	offset    int64
	container int // number of the object stream, 0: none
	gen       int
	known     bool
}

// table is a file's cross-reference and trailer.
type table struct {
	entries []entry
	trailer object // a dictionary; its bytes are its own
	read    int    // entries read so far, counting repeated ones
}

// put records an entry unless a newer section did. Numbers that a file of
// this size cannot hold are refused.
func (t *table) put(n int, e entry, most int) {
	if n < 0 || n > most {
		return
	}
	for len(t.entries) <= n {
		t.entries = append(t.entries, entry{})
	}
	if !t.entries[n].known {
		e.known = true
		t.entries[n] = e
	}
}

// objectsIn bounds how many objects a file of the size may have.
func objectsIn(size int64) int { return int(min(size/2+1000, maxObjects)) }

var errXref = errors.New("the cross-reference is damaged")

// readXref reads the chain of cross-reference sections, tables and streams,
// that the end of the file points to. Any doubt is an error, for then the
// caller scans the file instead.
func readXref(file io.ReaderAt, size int64) (*table, error) {
	start, err := findStart(file, size)
	if err != nil {
		return nil, err
	}
	t := &table{}
	queue, seen := []int64{start}, map[int64]bool{}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if seen[at] {
			return nil, fmt.Errorf("%w: it refers to itself", errXref)
		}
		if at < 0 || at >= size || len(seen) > 4096 {
			return nil, errXref
		}
		seen[at] = true
		trailer, err := t.readSection(file, size, at)
		if err != nil {
			return nil, err
		}
		if t.trailer.kind == kindEOF {
			t.trailer = trailer
		}
		if hidden, ok := trailer.get("XRefStm"); ok && hidden.kind == kindNumber {
			queue = append(queue, int64(hidden.num))
		}
		if previous, ok := trailer.get("Prev"); ok && previous.kind == kindNumber {
			queue = append(queue, int64(previous.num))
		}
	}
	return t, t.check(file, size)
}

// findStart reads the offset behind the last startxref.
func findStart(file io.ReaderAt, size int64) (int64, error) {
	tail, err := readAt(file, max(size-2048, 0), min(size, 2048))
	if err != nil {
		return 0, err
	}
	at := bytes.LastIndex(tail, []byte("startxref"))
	if at < 0 {
		return 0, fmt.Errorf("%w: no startxref", errXref)
	}
	l := &lexer{data: tail, pos: at + len("startxref")}
	o := l.next()
	if o.kind != kindNumber {
		return 0, fmt.Errorf("%w: startxref without an offset", errXref)
	}
	return int64(o.num), nil
}

// readAt reads up to n bytes; fewer only at the end of the file.
func readAt(file io.ReaderAt, at, n int64) ([]byte, error) {
	buf := make([]byte, n)
	got, err := file.ReadAt(buf, at)
	if got == 0 && err != nil && n > 0 {
		return nil, fmt.Errorf("read at %d: %w", at, err)
	}
	return buf[:got], nil
}

// readSection reads one section and returns its trailer.
func (t *table) readSection(file io.ReaderAt, size, at int64) (object, error) {
	const window = 4096
	for n := int64(window); ; n *= 8 { // a table's length is not known before
		data, err := readAt(file, at, min(n, size-at))
		if err != nil {
			return object{}, err
		}
		l := &lexer{data: data, refs: false}
		if first := l.next(); !first.is("xref") {
			return t.readStreamSection(file, size, at)
		}
		all := n >= size-at
		trailer, done := t.readTable(l, size, all)
		if done {
			return trailer, nil
		}
		if all {
			return object{}, fmt.Errorf("%w: no trailer", errXref)
		}
	}
}

// readTable reads the lines of a table. It reports whether the trailer's
// dictionary was found in the data at hand.
func (t *table) readTable(l *lexer, size int64, all bool) (object, bool) {
	type found struct {
		n int
		e entry
	}
	var entries []found
	most := objectsIn(size)
	for {
		first := l.next()
		if first.is("trailer") {
			break
		}
		count := l.next()
		if first.kind != kindNumber || count.kind != kindNumber || l.pos >= len(l.data) {
			return object{}, false
		}
		for i := range count.integer() {
			offset, gen, kind := l.next(), l.next(), l.next()
			if kind.kind == kindEOF || offset.kind != kindNumber {
				return object{}, false
			}
			if kind.is("n") && offset.num > 0 && offset.num < float64(size) {
				entries = append(entries, found{first.integer() + i, entry{offset: int64(offset.num), gen: gen.integer()}})
			} else if kind.is("f") {
				entries = append(entries, found{first.integer() + i, entry{}})
			}
			if t.read++; t.read > 8*most {
				return object{}, false
			}
		}
		l.reset()
	}
	l.refs = true
	trailer := l.next()
	if trailer.kind != kindDict || !all && l.pos >= len(l.data) {
		return object{}, false
	}
	for _, f := range entries {
		t.put(f.n, f.e, most)
	}
	return trailer.clone(), true
}

// readStreamSection reads a cross-reference stream.
func (t *table) readStreamSection(file io.ReaderAt, size, at int64) (object, error) {
	dict, body, _, err := readObject(file, size, at)
	if err != nil {
		return object{}, err
	}
	if kind, _ := dict.get("Type"); string(kind.b) != "XRef" || body == 0 {
		return object{}, errXref
	}
	length, _ := dict.get("Length")
	raw, err := readRaw(file, body, int64(length.integer()), min(size-body, 64<<20))
	if err != nil {
		return object{}, err
	}
	data, err := decodeFilters(raw, dictFilters(dict), 256<<20)
	if err != nil {
		return object{}, err
	}
	var w [3]int
	widths, _ := dict.get("W")
	for i := range w {
		if i < len(widths.arr) {
			w[i] = widths.arr[i].integer()
		}
		if w[i] < 0 || w[i] > 8 {
			return object{}, errXref
		}
	}
	index, _ := dict.get("Index")
	ranges := index.arr
	if len(ranges) < 2 {
		total, _ := dict.get("Size")
		ranges = []object{{kind: kindNumber}, total}
	}
	t.readRows(data, w, ranges, size)
	return dict, nil
}

func (t *table) readRows(data []byte, w [3]int, ranges []object, size int64) {
	row := w[0] + w[1] + w[2]
	field := func(i, n, missing int) int64 {
		if n == 0 {
			return int64(missing)
		}
		var v uint64
		for _, c := range data[i : i+n] {
			v = v<<8 | uint64(c)
		}
		return int64(v & 0x7FFFFFFFFFFFFFFF)
	}
	for i := 0; i+1 < len(ranges) && row > 0; i += 2 {
		first, count := ranges[i].integer(), ranges[i+1].integer()
		for j := 0; j < count && len(data) >= row; j++ {
			kind, a, b := field(0, w[0], 1), field(w[0], w[1], 0), field(w[0]+w[1], w[2], 0)
			data = data[row:]
			switch {
			case kind == 0:
				t.put(first+j, entry{}, objectsIn(size))
			case kind == 1 && a > 0 && a < size:
				t.put(first+j, entry{offset: a, gen: int(b & 0xFFFF)}, objectsIn(size))
			case kind == 2 && a > 0 && a <= maxObjects:
				t.put(first+j, entry{offset: b, container: int(a)}, objectsIn(size))
			}
		}
	}
}

// readObject reads the object at an offset. body is where its stream begins,
// 0 if it is none; number is the object's own number.
func readObject(file io.ReaderAt, size, at int64) (o object, body int64, number int, err error) {
	return readObjectWithin(file, size, at, 64<<20)
}

// readObjectWithin gives up on objects longer than most, streams not counted.
func readObjectWithin(file io.ReaderAt, size, at, most int64) (o object, body int64, number int, err error) {
	for n := int64(1024); ; n *= 8 {
		data, err := readAt(file, at, min(n, size-at))
		if err != nil {
			return object{}, 0, 0, err
		}
		l := &lexer{data: data, refs: true}
		id, gen, word := l.next(), l.next(), l.next()
		if id.kind != kindNumber || gen.kind != kindNumber || !word.is("obj") {
			return object{}, 0, 0, fmt.Errorf("%w: no object at %d", errXref, at)
		}
		o := l.next()
		end := l.pos
		after := l.next()
		if l.pos >= len(data) && n < size-at {
			if n > most {
				return object{}, 0, 0, fmt.Errorf("%w: an object without end", errXref)
			}
			continue
		}
		if after.is("stream") {
			l.pos = end
			l.skipSpace()
			end = l.pos + len("stream")
			if end < len(data) && data[end] == '\r' {
				end++
			}
			if end < len(data) && data[end] == '\n' {
				end++
			}
			body = at + int64(end)
		}
		return o.clone(), body, id.integer(), nil
	}
}

// check makes sure that the table says where the catalog is, that a sample of
// its objects are where it says, and that no object stream lies in another.
func (t *table) check(file io.ReaderAt, size int64) error {
	root, ok := t.trailer.get("Root")
	if !ok || root.kind != kindRef || !t.known(root.integer()) {
		return fmt.Errorf("%w: no catalog", errXref)
	}
	for i := range t.entries {
		if c := t.entries[i].container; c > 0 && (!t.known(c) || t.entries[c].container != 0) {
			t.entries[i] = entry{}
		}
	}
	step := max(len(t.entries)/64, 1)
	for i := 0; i < len(t.entries); i += step {
		if err := t.checkEntry(file, size, i); err != nil {
			return err
		}
	}
	return t.checkEntry(file, size, root.integer())
}

func (t *table) known(n int) bool {
	return n > 0 && n < len(t.entries) && t.entries[n].known && t.entries[n].offset+int64(t.entries[n].container) > 0
}

func (t *table) checkEntry(file io.ReaderAt, size int64, n int) error {
	if !t.known(n) {
		return nil
	}
	e := t.entries[n]
	if e.container > 0 {
		return t.checkEntry(file, size, e.container)
	}
	data, err := readAt(file, e.offset, min(64, size-e.offset))
	if err != nil {
		return err
	}
	l := &lexer{data: data}
	if id, gen, word := l.next(), l.next(), l.next(); id.integer() != n || gen.kind != kindNumber || !word.is("obj") {
		return fmt.Errorf("%w: object %s is not at its offset", errXref, strconv.Itoa(n))
	}
	return nil
}
