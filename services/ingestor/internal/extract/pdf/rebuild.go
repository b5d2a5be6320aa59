package pdf

import (
	"bytes"
	"fmt"
	"io"
)

// rebuild makes a table by looking for objects in the whole file, for files
// whose own cross-reference is missing or wrong. Of several objects with one
// number the last counts.
func rebuild(file io.ReaderAt, size int64) (*table, error) {
	t := &table{}
	most := objectsIn(size)
	var trailers []int64
	err := scan(file, size, func(at int64, n, gen int) {
		if n >= 0 && n <= most {
			for len(t.entries) <= n {
				t.entries = append(t.entries, entry{})
			}
			t.entries[n] = entry{offset: at, gen: gen, known: true}
		}
	}, func(at int64) { trailers = append(trailers, at) })
	if err != nil {
		return nil, err
	}
	var best object
	for i := len(trailers) - 1; i >= 0 && best.kind == kindEOF; i-- {
		data, err := readAt(file, trailers[i], min(16<<10, size-trailers[i]))
		if err != nil {
			continue
		}
		l := &lexer{data: data, refs: true}
		if dict := l.next(); dict.kind == kindDict {
			if _, ok := dict.get("Root"); ok {
				best = dict.clone()
			}
		}
	}
	t.trailer = best
	t.readStructures(file, size)
	if root, ok := t.trailer.get("Root"); !ok || !t.known(root.integer()) {
		return nil, fmt.Errorf("%w, and no catalog was found", errXref)
	}
	return t, nil
}

// scan reports every "n g obj", and where each trailer's dictionary begins.
func scan(file io.ReaderAt, size int64, found func(at int64, n, gen int), trailer func(at int64)) error {
	const step, overlap = 1 << 20, 64
	for from := int64(0); from < size; from += step {
		start := max(from-overlap, 0)
		data, err := readAt(file, start, min(from+step, size)-start)
		if err != nil {
			return err
		}
		for i := 0; ; {
			j := bytes.Index(data[i:], []byte("obj"))
			if j < 0 {
				break
			}
			i += j + 3
			if at, n, gen, ok := objectHeader(data[:i-3]); ok {
				found(start+int64(at), n, gen)
			}
		}
		for i := 0; ; {
			j := bytes.Index(data[i:], []byte("trailer"))
			if j < 0 {
				break
			}
			i += j + len("trailer")
			trailer(start + int64(i))
		}
	}
	return nil
}

// objectHeader reads "n g " backwards from the end of before.
func objectHeader(before []byte) (at, n, gen int, ok bool) {
	i := len(before)
	number := func() (int, bool) {
		end := i
		for i > 0 && isSpace(before[i-1]) {
			i--
		}
		if i == end && end == len(before) && end > 0 && !isSpace(before[end-1]) {
			return 0, false
		}
		digits, value, unit := 0, 0, 1
		for i > 0 && before[i-1] >= '0' && before[i-1] <= '9' && digits < 9 {
			value += int(before[i-1]-'0') * unit
			unit *= 10
			digits++
			i--
		}
		return value, digits > 0
	}
	gen, ok = number()
	if !ok || i == 0 || !isSpace(before[i-1]) {
		return 0, 0, 0, false
	}
	n, ok = number()
	return i, n, gen, ok
}

// readStructures looks into the objects found: object streams tell of more,
// and cross-reference streams and catalogs stand in for a missing trailer.
func (t *table) readStructures(file io.ReaderAt, size int64) {
	catalog := 0
	budget := int64(256 << 20) // decoded object streams
	for n := range len(t.entries) {
		e := t.entries[n]
		if !t.known(n) || e.container > 0 {
			continue
		}
		dict, body, number, err := readObjectWithin(file, size, e.offset, 64<<10)
		if err != nil || number != n || dict.kind != kindDict {
			continue
		}
		kind, _ := dict.get("Type")
		switch string(kind.b) {
		case "Catalog":
			catalog = n
		case "XRef":
			if _, ok := dict.get("Root"); ok && t.trailer.kind == kindEOF {
				t.trailer = dict
			}
		case "ObjStm":
			if body > 0 && budget > 0 {
				budget -= t.readContainer(file, size, n, dict, body, budget)
			}
		}
	}
	for n := range t.entries {
		if c := t.entries[n].container; c > 0 && (!t.known(c) || t.entries[c].container > 0) {
			t.entries[n] = entry{}
		}
	}
	if root, ok := t.trailer.get("Root"); (!ok || !t.known(root.integer())) && catalog > 0 {
		t.trailer = object{kind: kindDict, arr: []object{
			{kind: kindName, b: []byte("Root")}, {kind: kindRef, num: float64(catalog), gen: t.entries[catalog].gen},
		}}
	}
}

// readContainer adds the objects of an object stream that are not found
// elsewhere, and returns what decoding it cost.
func (t *table) readContainer(file io.ReaderAt, size int64, container int, dict object, body, budget int64) int64 {
	data, err := decodeContainer(file, size, dict, body, budget)
	if err != nil {
		return 0
	}
	count, _ := dict.get("N")
	l := &lexer{data: data}
	for i := range count.integer() {
		n, offset := l.next(), l.next()
		if n.kind != kindNumber || offset.kind != kindNumber {
			break
		}
		if number := n.integer(); number > 0 && number < objectsIn(size) && !t.known(number) {
			for len(t.entries) <= number {
				t.entries = append(t.entries, entry{})
			}
			t.entries[number] = entry{offset: int64(i), container: container, known: true}
		}
	}
	return int64(len(data))
}
