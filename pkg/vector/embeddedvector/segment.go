package embeddedvector

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync/atomic"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// document is the live version of a document. Its place changes when
// segments are merged and is guarded by its tenant's lock; its attributes are
// replaced as a whole; the rest never changes.
type document struct {
	id, version string
	collection  string
	words       int
	english     int
	attributes  atomic.Pointer[attributes]
	// where and index are the segment that holds the document and its number there.
	where *segment
	index uint32
}

// segment is an immutable part of a collection: some documents, their chunks
// in the order of documents and ordinals, the inverted index over them and
// their vectors. Deletions are recorded beside it, in the view.
type segment struct {
	documents []*document
	// first is the first chunk of each document, and the number of chunks at the end.
	first    []uint32
	owner    []uint32 // chunk → document
	ordinals []uint32

	// The postings of terms[i] are [offsets[i], offsets[i+1]), ascending by chunk.
	terms   []uint32
	guide   guide
	offsets []uint32
	chunks  []uint32
	impacts []float32

	stride    int
	high, low []int8
	scales    []float32
	languages lexical.Set
}

func (s *segment) size() int { return len(s.owner) }

// postings returns the chunks with the term and its impact in each.
func (s *segment) postings(term uint32) ([]uint32, []float32) {
	i, ok := s.guide.find(s.terms, term)
	if !ok {
		return nil, nil
	}
	from, to := s.offsets[i], s.offsets[i+1]
	return s.chunks[from:to], s.impacts[from:to]
}

func (s *segment) row(plane []int8, chunk uint32) []int8 {
	return plane[int(chunk)*s.stride : (int(chunk)+1)*s.stride]
}

// bytes returns about how much memory the segment takes.
func (s *segment) bytes() int {
	perDocument := 0
	for _, d := range s.documents {
		perDocument += 160 + len(d.id) + len(d.version)
	}
	return perDocument + 4*(len(s.first)+len(s.owner)+len(s.ordinals)+len(s.terms)+len(s.guide.begins)+len(s.offsets)+len(s.chunks)+len(s.impacts)+len(s.scales)) +
		len(s.high) + len(s.low)
}

// row is a chunk as it is stored.
type row struct {
	ordinal  uint32
	language lexical.Language
	length   int
	words    int
	english  int
	terms    []byte
	dense    []byte
}

// errCorrupt means that a stored chunk does not decode.
var errCorrupt = errors.New("embeddedvector: a stored chunk is corrupt")

// builder collects documents and makes a segment of them.
type builder struct {
	seg        *segment
	dimensions int
	high, low  arena[int8]
	slots      map[uint32]uint32
	counts     []uint32
	postings   arena[posting]
	// held is how many postings each chunk has.
	held []uint32
}

// posting is a term of a chunk; the postings of the first chunk come first.
type posting struct {
	slot   uint32
	impact float32
}

func newBuilder(dimensions int) *builder {
	return &builder{
		seg:        &segment{stride: strideOf(dimensions)},
		dimensions: dimensions,
		slots:      make(map[uint32]uint32),
	}
}

// open starts a document; the chunks added next are its.
func (b *builder) open(d *document) {
	d.where, d.index = b.seg, uint32(len(b.seg.documents))
	b.seg.documents = append(b.seg.documents, d)
	b.seg.first = append(b.seg.first, uint32(b.seg.size()))
}

// add appends a chunk of the open document. It copies what it keeps of r.
func (b *builder) add(r row) error {
	s := b.seg
	held := uint32(0)
	owner := uint32(len(s.documents) - 1)
	for at, id := 0, uint32(0); at < len(r.terms); {
		delta, n := binary.Uvarint(r.terms[at:])
		count, m := binary.Uvarint(r.terms[at+max(n, 0):])
		if n <= 0 || m <= 0 || count == 0 || count > math.MaxUint32 {
			return errCorrupt
		}
		at += n + m
		id += uint32(delta)
		b.post(id, lexical.Impact(uint32(count), r.length))
		held++
	}
	if err := b.addVector(r.dense); err != nil {
		return err
	}
	b.held = append(b.held, held)
	s.owner = append(s.owner, owner)
	s.ordinals = append(s.ordinals, r.ordinal)
	s.languages = s.languages.With(r.language)
	s.documents[owner].words += r.words
	s.documents[owner].english += r.english
	return nil
}

func (b *builder) post(term uint32, impact float32) {
	slot, ok := b.slots[term]
	if !ok {
		slot = uint32(len(b.seg.terms))
		b.slots[term] = slot
		b.seg.terms = append(b.seg.terms, term)
		b.counts = append(b.counts, 0)
	}
	b.counts[slot]++
	b.postings.extend(1)[0] = posting{slot, impact}
}

func (b *builder) addVector(blob []byte) error {
	s := b.seg
	high, low := b.high.extend(s.stride), b.low.extend(s.stride)
	if len(blob) == 0 {
		s.scales = append(s.scales, noVector)
		return nil
	}
	if len(blob) != 4+2*b.dimensions {
		return errCorrupt
	}
	s.scales = append(s.scales, math.Float32frombits(binary.LittleEndian.Uint32(blob)))
	for i := range b.dimensions {
		high[i] = int8(blob[4+i])
		low[i] = int8(blob[4+b.dimensions+i])
	}
	return nil
}

// finish returns the segment. The builder is of no use afterwards.
func (b *builder) finish() *segment {
	s := b.seg
	s.first = append(s.first, uint32(s.size()))
	order := make([]uint32, len(s.terms))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(x, y uint32) int {
		if s.terms[x] < s.terms[y] {
			return -1
		}
		return 1
	})
	terms := make([]uint32, len(order))
	s.offsets = make([]uint32, len(order)+1)
	next := make([]uint32, len(order))
	at := uint32(0)
	for i, slot := range order {
		terms[i], s.offsets[i], next[slot] = s.terms[slot], at, at
		at += b.counts[slot]
	}
	s.offsets[len(order)] = at
	s.terms, s.guide = terms, newGuide(terms)
	s.chunks, s.impacts = make([]uint32, at), make([]float32, at)
	chunk, left := -1, uint32(0)
	for _, block := range b.postings.blocks() {
		for _, p := range block {
			for ; left == 0; left = b.held[chunk] {
				chunk++
			}
			left--
			to := next[p.slot]
			next[p.slot]++
			s.chunks[to], s.impacts[to] = uint32(chunk), p.impact
		}
	}
	s.high, s.low = b.high.join(), b.low.join()
	s.clip()
	return s
}

// clip gives back what appending allocated in advance.
func (s *segment) clip() {
	s.owner, s.ordinals = slices.Clip(s.owner), slices.Clip(s.ordinals)
	s.first, s.scales = slices.Clip(s.first), slices.Clip(s.scales)
}

// encodeTerms returns ids as differences, each with its count, as varints.
func encodeTerms(terms []lexical.Term) []byte {
	out := make([]byte, 0, 6*len(terms))
	previous := uint32(0)
	for _, t := range terms {
		out = binary.AppendUvarint(out, uint64(t.ID-previous))
		out = binary.AppendUvarint(out, uint64(t.Count))
		previous = t.ID
	}
	return out
}
