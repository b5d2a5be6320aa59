package pdf

import (
	"errors"
	"slices"

	lib "github.com/ledongthuc/pdf"

	"github.com/ragbus/ragbus/pkg/fault"
)

const maxTreeDepth = 64

// pageNode is a page with what it inherits. The null value marks a page whose
// object cannot be read.
type pageNode struct {
	v         lib.Value
	resources lib.Value
	box       [4]float64
}

// pageWalk collects the pages of a document's page tree. The library's own
// look-up of a page does not end on some malformed trees.
type pageWalk struct {
	most  int
	nodes int
	pages []pageNode
	path  []string // text forms of the nodes above, to see a cycle
}

var errTooManyPages = errors.New("too many pages")

func tooManyPages(most int) error {
	return fault.Permanentf("too_many_pages", "the document has more than %d pages", most)
}

// readPages walks the tree below the catalog.
func readPages(trailer lib.Value, most int) ([]pageNode, error) {
	root := trailer.Key("Root").Key("Pages")
	if root.Kind() != lib.Dict {
		return nil, errors.New("the document has no page tree")
	}
	if root.Key("Count").Int64() > int64(most) {
		return nil, tooManyPages(most)
	}
	w := &pageWalk{most: most}
	err := w.visit(root, pageNode{}, 0)
	if errors.Is(err, errTooManyPages) {
		return nil, tooManyPages(most)
	}
	return w.pages, err
}

// visit adds the pages below v. Only too many pages are an error.
func (w *pageWalk) visit(v lib.Value, inherited pageNode, depth int) error {
	w.nodes++
	if w.nodes > 2*w.most+1000 {
		return errTooManyPages
	}
	inherited.inherit(v)
	kids := v.Key("Kids")
	if kids.Kind() != lib.Array || v.Key("Type").Name() == "Page" {
		inherited.v = v
		w.pages = append(w.pages, inherited)
		if len(w.pages) > w.most {
			return errTooManyPages
		}
		return nil
	}
	self := v.String()
	if depth >= maxTreeDepth || slices.Contains(w.path, self) {
		return nil
	}
	w.path = append(w.path, self)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	for i := range kids.Len() {
		kid, ok := indexSafely(kids, i)
		if ok && kid.Kind() != lib.Dict {
			continue
		}
		if !ok {
			kid = lib.Value{}
		}
		if err := w.visitSafely(kid, inherited, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// visitSafely visits a kid; one that panics the library counts as a bad page.
func (w *pageWalk) visitSafely(kid lib.Value, inherited pageNode, depth int) error {
	path, had := len(w.path), len(w.pages)
	err := guard(func() error { return w.visit(kid, inherited, depth) })
	w.path = w.path[:path]
	if errors.Is(err, errTooManyPages) {
		return err
	}
	if err != nil && len(w.pages) == had {
		w.pages = append(w.pages, pageNode{})
	}
	return nil
}

func indexSafely(list lib.Value, i int) (v lib.Value, ok bool) {
	err := guard(func() error {
		v = list.Index(i)
		return nil
	})
	return v, err == nil
}

// inherit takes over the attributes that a node passes to the pages below.
func (p *pageNode) inherit(v lib.Value) {
	if r := v.Key("Resources"); r.Kind() == lib.Dict {
		p.resources = r
	}
	box := v.Key("MediaBox")
	if box.Len() != 4 {
		return
	}
	var b [4]float64
	for i := range b {
		b[i] = box.Index(i).Float64()
	}
	b[0], b[2] = min(b[0], b[2]), max(b[0], b[2])
	b[1], b[3] = min(b[1], b[3]), max(b[1], b[3])
	const margin = 2
	if b[2]-b[0] > 10 && b[3]-b[1] > 10 {
		p.box = [4]float64{b[0] - margin, b[1] - margin, b[2] + margin, b[3] + margin}
	}
}
