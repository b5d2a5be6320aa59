package pdf

import (
	"bytes"
	"fmt"
	"io"

	"github.com/ragbus/ragbus/pkg/fault"
)

// maxEncrypted bounds the encrypted files that are read: the clear copy is
// kept in memory.
const maxEncrypted = 256 << 20

// clearCopy returns a decrypted copy of a file and its table. Objects that
// cannot be read are left out.
func clearCopy(file io.ReaderAt, size int64, t *table) (io.ReaderAt, int64, *table, error) {
	if size > maxEncrypted {
		return nil, 0, nil, fault.Permanentf("pdf_encryption_unsupported", "the PDF is encrypted and larger than %d MiB", maxEncrypted>>20)
	}
	c := &clearing{file: file, size: size, from: t}
	dict, _ := t.trailer.get("Encrypt")
	if dict.kind == kindRef {
		c.skip = dict.integer()
		dict = c.resolve(dict)
	}
	var id []byte
	if ids, ok := t.trailer.get("ID"); ok && len(ids.arr) > 0 {
		id = ids.arr[0].b
	}
	var err error
	c.decrypter, err = newDecrypter(dict, id)
	if err != nil {
		return nil, 0, nil, err
	}
	out := &table{entries: make([]entry, len(t.entries)), trailer: t.trailer.without("Encrypt")}
	c.out.WriteString(libraryHeader)
	for n, e := range t.entries {
		if !t.known(n) || n == c.skip {
			continue
		}
		if e.container > 0 {
			out.entries[n] = e
			continue
		}
		at := int64(c.out.Len())
		if c.copyObject(n, e) {
			out.entries[n] = entry{offset: at, gen: e.gen, known: true}
		}
	}
	return bytes.NewReader(c.out.Bytes()), int64(c.out.Len()), out, nil
}

// clearing is the state of one copy.
type clearing struct {
	file      io.ReaderAt
	size      int64
	from      *table
	skip      int // the number of the encryption dictionary
	decrypter *decrypter
	out       bytes.Buffer
}

// resolve follows a reference to an object that stands in the file itself.
func (c *clearing) resolve(o object) object {
	if o.kind != kindRef {
		return o
	}
	n := o.integer()
	if !c.from.known(n) || c.from.entries[n].container > 0 {
		return object{}
	}
	target, _, number, err := readObject(c.file, c.size, c.from.entries[n].offset)
	if err != nil || number != n {
		return object{}
	}
	return target
}

// copyObject writes one object in clear.
func (c *clearing) copyObject(n int, e entry) bool {
	o, body, number, err := readObject(c.file, c.size, e.offset)
	if err != nil || number != n {
		return false
	}
	c.clearStrings(&o, n, e.gen)
	if body == 0 {
		fmt.Fprintf(&c.out, "%d %d obj\n%s\nendobj\n", n, e.gen, o.appendTo(nil))
		return true
	}
	length, _ := o.get("Length")
	length = c.resolve(length)
	data, err := readRaw(c.file, body, int64(length.integer()), c.size-body)
	if err != nil {
		return false
	}
	if c.covers(o) {
		data = c.decrypter.decrypt(c.decrypter.streams, n, e.gen, data)
	}
	o = o.without("Length")
	o.arr = append(o.arr, object{kind: kindName, b: []byte("Length")}, object{kind: kindNumber, num: float64(len(data))})
	fmt.Fprintf(&c.out, "%d %d obj\n%s\nstream\n", n, e.gen, o.appendTo(nil))
	c.out.Write(data)
	c.out.WriteString("\nendstream\nendobj\n")
	return true
}

// covers reports whether the encryption covers a stream.
func (c *clearing) covers(dict object) bool {
	kind, _ := dict.get("Type")
	if string(kind.b) == "XRef" || string(kind.b) == "Metadata" && c.decrypter.clearMetadata {
		return false
	}
	for _, f := range dictFilters(dict) {
		if f.name == "Crypt" {
			return false // such streams name the identity filter
		}
	}
	return true
}

func (c *clearing) clearStrings(o *object, n, gen int) {
	if o.kind == kindString {
		o.b = c.decrypter.decrypt(c.decrypter.strings, n, gen, o.b)
	}
	for i := range o.arr {
		c.clearStrings(&o.arr[i], n, gen)
	}
}

// without returns a dictionary without a key.
func (o object) without(key string) object {
	var arr []object
	for i := 0; i+1 < len(o.arr); i += 2 {
		if string(o.arr[i].b) != key {
			arr = append(arr, o.arr[i], o.arr[i+1])
		}
	}
	o.arr = arr
	return o
}
