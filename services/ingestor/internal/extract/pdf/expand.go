package pdf

import (
	"bytes"
	"fmt"
	"io"
)

// maxExpanded bounds the objects taken out of object streams, in bytes.
const maxExpanded = 256 << 20

// expand writes the objects that stand in object streams out as objects of
// their own, and points their entries to where they will be when the result
// is appended to the file. The library decodes an object stream anew for each
// object in it, and does not return from some malformed ones. An object that
// cannot be read is forgotten.
func (t *table) expand(file io.ReaderAt, size int64) []byte {
	members := map[int][]int{} // by container
	for n := range t.entries {
		if c := t.entries[n].container; c > 0 {
			members[c] = append(members[c], n)
		}
	}
	var out bytes.Buffer
	for c := range t.entries { // in order, so that the result is the same each time
		if len(members[c]) == 0 {
			continue
		}
		objects := t.containerObjects(file, size, c, maxExpanded-int64(out.Len()))
		for _, n := range members[c] {
			o, ok := objects[n]
			if !ok {
				t.entries[n] = entry{}
				continue
			}
			t.entries[n] = entry{offset: size + int64(out.Len()), known: true}
			fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", n, o.appendTo(nil))
		}
	}
	return out.Bytes()
}

// containerObjects reads all objects of an object stream, by their numbers.
func (t *table) containerObjects(file io.ReaderAt, size int64, container int, limit int64) map[int]object {
	e := t.entries[container]
	dict, body, number, err := readObject(file, size, e.offset)
	if err != nil || number != container || body == 0 || e.container != 0 || limit <= 0 {
		return nil
	}
	data, err := decodeContainer(file, size, dict, body, limit)
	if err != nil {
		return nil
	}
	count, _ := dict.get("N")
	first, _ := dict.get("First")
	head := &lexer{data: data}
	objects := make(map[int]object, min(max(count.integer(), 0), 1024))
	for range count.integer() {
		n, offset := head.next(), head.next()
		if n.kind != kindNumber || offset.kind != kindNumber {
			break
		}
		at := first.integer() + offset.integer()
		if at < 0 || at >= len(data) {
			continue
		}
		l := &lexer{data: data, pos: at, refs: true}
		objects[n.integer()] = l.next().clone()
	}
	return objects
}

func decodeContainer(file io.ReaderAt, size int64, dict object, body, limit int64) ([]byte, error) {
	length, _ := dict.get("Length")
	raw, err := readRaw(file, body, int64(length.integer()), min(size-body, limit))
	if err != nil {
		return nil, err
	}
	return decodeFilters(raw, dictFilters(dict), limit)
}
