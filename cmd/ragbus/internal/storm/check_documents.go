package storm

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// checkers is how many documents or chats are checked at once.
const checkers = 6

// each runs a check of every element, some at once.
func each[T any](list []T, check func(T)) {
	work := make(chan T)
	var all sync.WaitGroup
	for range checkers {
		all.Go(func() {
			for v := range work {
				check(v)
			}
		})
	}
	for _, v := range list {
		work <- v
	}
	close(work)
	all.Wait()
}

// row is what the catalog has of a document.
type row struct {
	status, version  string
	chunks           int
	failure, blobKey string
}

// record is what the stores have, read once.
type record struct {
	rows map[string]row
	// chunks and points are ordinals by document and version; of points, how often.
	chunks map[string]map[string][]int
	points map[string]map[string]map[int]int
	// kept are blob keys that the catalog knows, by document, and blobs those that are there.
	kept  map[string][]string
	blobs map[string]bool
	// uses counts cached vectors by document.
	uses map[string]int
}

func (st *stores) read(ctx context.Context) (*record, error) {
	r := &record{
		rows: map[string]row{}, chunks: map[string]map[string][]int{}, points: map[string]map[string]map[int]int{},
		kept: map[string][]string{}, uses: map[string]int{},
	}
	err := st.each(ctx, "select tenant || '/' || id, status, sha256, chunks, coalesce(failure, ''), blob_key from documents", func(scan func(...any) error) error {
		var id string
		var v row
		err := scan(&id, &v.status, &v.version, &v.chunks, &v.failure, &v.blobKey)
		r.rows[id] = v
		return err
	})
	if err != nil {
		return nil, err
	}
	err = st.each(ctx, "select tenant || '/' || document, version, ordinal from chunks order by tenant, document, version, ordinal", func(scan func(...any) error) error {
		var id, version string
		var n int
		err := scan(&id, &version, &n)
		if r.chunks[id] == nil {
			r.chunks[id] = map[string][]int{}
		}
		r.chunks[id][version] = append(r.chunks[id][version], n)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = st.each(ctx, "select tenant || '/' || document, blob_key from document_blobs", func(scan func(...any) error) error {
		var id, key string
		err := scan(&id, &key)
		r.kept[id] = append(r.kept[id], key)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = st.each(ctx, "select tenant || '/' || document, count(*) from vector_uses group by tenant, document", func(scan func(...any) error) error {
		var id string
		var n int
		err := scan(&id, &n)
		r.uses[id] = n
		return err
	})
	if err != nil {
		return nil, err
	}
	points, err := st.points(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range points {
		if r.points[p.document] == nil {
			r.points[p.document] = map[string]map[int]int{}
		}
		if r.points[p.document][p.version] == nil {
			r.points[p.document][p.version] = map[int]int{}
		}
		r.points[p.document][p.version][p.ordinal]++
	}
	r.blobs, err = st.blobs(ctx)
	return r, err
}

func (st *stores) each(ctx context.Context, query string, take func(scan func(...any) error) error) error {
	rows, err := st.db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return rows.Err()
}

// checkDocuments is points 1 and 2.
func (s *storm) checkDocuments(ctx context.Context, r *record) {
	known := map[string]bool{}
	all := s.docs.all()
	slices.SortFunc(all, func(a, b *paper) int { return a.number - b.number })
	for _, p := range all {
		known[p.row()] = true
	}
	for id := range r.rows {
		if !known[id] && !strings.Contains(id, "/fact-") {
			s.found.violatef(1, nil, "there is a document %s that nobody sent", id)
		}
	}
	each(all, func(p *paper) { s.checkPaper(ctx, r, p) })
	s.checkBlobs(r)
}

// allowed returns what the document may be, given what its client knows.
func (p *paper) allowed() []content {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.maybe)
	if p.accepted {
		out = append(out, content{p.text, p.deleted})
	}
	return out
}

func (s *storm) checkPaper(ctx context.Context, r *record, p *paper) {
	v, there := r.rows[p.row()]
	if !there {
		if p.accepted {
			s.found.violatef(1, p.history, "the accepted document %s is not there", p.id)
		}
		return
	}
	s.found.count("documents at the end: " + v.status)
	may := p.allowed()
	if v.status == "deleted" {
		if !slices.ContainsFunc(may, func(c content) bool { return c.deleted }) {
			s.found.violatef(1, p.history, "%s is deleted, though nobody asked for that last", p.id)
		}
		s.checkGone(r, p)
		return
	}
	i := slices.IndexFunc(may, func(c content) bool { return !c.deleted && versionOf(c.text) == v.version })
	if i < 0 {
		s.found.violatef(1, p.history, "%s is %s with version %.8s, which is not the newest", p.id, v.status, v.version)
		return
	}
	switch {
	case p.hostile != nil:
		if v.status != "failed" || !strings.Contains(v.failure, `"`) {
			s.found.violatef(1, p.history, "%s, which is %s, is %s: %s", p.id, p.hostile.name, v.status, v.failure)
		}
	case v.status == "failed":
		// Its owner sees it and tries again; that is checked by doing so.
		s.retry(ctx, p)
		return
	case v.status == "indexed":
		s.checkWhole(ctx, r, p, v, may[i].text)
	}
}

// checkGone: deleted means no point, chunk, blob or cached vector.
func (s *storm) checkGone(r *record, p *paper) {
	for what, n := range map[string]int{
		"chunks": len(r.chunks[p.row()]), "points": len(r.points[p.row()]), "blobs on record": len(r.kept[p.row()]), "cached vectors": r.uses[p.row()],
	} {
		if n > 0 {
			s.found.violatef(2, p.history, "the deleted %s has %s: %d", p.id, what, n)
		}
	}
}

// checkWhole: the newest version is there, all of it, once, and no other.
func (s *storm) checkWhole(ctx context.Context, r *record, p *paper, v row, text string) {
	if n := len(r.chunks[p.row()]); n != 1 || len(r.chunks[p.row()][v.version]) != v.chunks || v.chunks == 0 {
		s.found.violatef(1, p.history, "%s, indexed as %.8s with %d chunks, has chunks of %d versions: %d of that one", p.id, v.version, v.chunks, n, len(r.chunks[p.row()][v.version]))
	}
	points := r.points[p.row()]
	if len(points) != 1 || len(points[v.version]) != v.chunks {
		s.found.violatef(1, p.history, "%s, indexed as %.8s with %d chunks, has points of %d versions: %d of that one", p.id, v.version, v.chunks, len(points), len(points[v.version]))
	}
	for n, times := range points[v.version] {
		if times != 1 || n < 0 || n >= v.chunks {
			s.found.violatef(1, p.history, "chunk %d of %s is %d times in the index", n, p.id, times)
		}
	}
	if !r.blobs[v.blobKey] {
		s.found.violatef(1, p.history, "the bytes %s of %s are not there", v.blobKey, p.id)
	}
	for _, key := range r.kept[p.row()] {
		switch {
		case key == v.blobKey:
		case r.blobs[key]:
			s.found.violatef(1, p.history, "%s has bytes of another upload: %s", p.id, key)
		default:
			s.found.count("records of bytes that are gone (of uploads that changed nothing)")
		}
	}
	c := s.clients[p.tenant]
	if !p.hidden.IsZero() {
		// Its client does not see it any more.
		if r := c.do(ctx, 0, http.MethodGet, "/v1/documents/"+p.id, nil); r.status != http.StatusNotFound {
			s.found.violatef(7, p.history, "%s is hidden from its client and answered with %s", p.id, r)
		}
		if c = c.insider(); c == nil {
			return
		}
	}
	chunks, err := all[chunk](ctx, c, 0, "/v1/documents/"+p.id+"/chunks?limit=100")
	if err != nil {
		s.found.violatef(1, p.history, "the chunks of %s: %v", p.id, err)
		return
	}
	if why := covers(text, v.version, chunks); why != "" {
		s.found.violatef(1, p.history, "the chunks of %s are not its text: %s", p.id, why)
	}
	// From outside: a search for its word finds just its chunks.
	if v.chunks > 40 {
		return
	}
	found := c.do(ctx, 1, http.MethodPost, "/v1/search", map[string]any{
		"query": canary(p.tenant, p.number), "mode": "keyword", "collections": []string{p.collection}, "limit": 100,
	})
	var out struct {
		Passages []chunk `json:"passages"`
	}
	if !found.ok() || found.into(&out) != nil {
		s.found.violatef(1, p.history, "a search for %s is answered with %s", p.id, found)
		return
	}
	var got, want []string
	for _, hit := range out.Passages {
		got = append(got, hit.ID)
	}
	for _, c := range chunks {
		want = append(want, c.ID)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.found.violatef(1, p.history, "a search for the word of %s finds %d passages, it has %d chunks", p.id, len(got), len(want))
	}
}

// covers says how chunks are not exactly a plain text, "" when they are.
func covers(text, version string, chunks []chunk) string {
	runes := []rune(text)
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	at := 0
	for i, c := range chunks {
		switch {
		case c.Ordinal != i || c.Version != version:
			return fmt.Sprintf("chunk %d has ordinal %d and version %.8s", i, c.Ordinal, c.Version)
		case c.CharStart < at || c.CharEnd <= c.CharStart || c.CharEnd > len(runes):
			return fmt.Sprintf("chunk %d lies at [%d, %d), after %d of %d", i, c.CharStart, c.CharEnd, at, len(runes))
		case string(runes[c.CharStart:c.CharEnd]) != c.Text:
			return fmt.Sprintf("chunk %d is not the text at its offsets", i)
		case strings.ContainsFunc(string(runes[at:c.CharStart]), word):
			return fmt.Sprintf("text before chunk %d is in no chunk", i)
		}
		at = c.CharEnd
	}
	if strings.ContainsFunc(string(runes[at:]), word) {
		return "the end is in no chunk"
	}
	return ""
}

// retry tries a failed document again, now that all is calm: it must be indexed.
func (s *storm) retry(ctx context.Context, p *paper) {
	var before document
	if r := s.clients[p.tenant].do(ctx, 0, http.MethodGet, "/v1/documents/"+p.id, nil); !r.ok() || r.into(&before) != nil || before.Error == nil || before.Error.Code == "" || before.Error.Message == "" {
		if !p.hidden.IsZero() {
			return
		}
		s.found.violatef(1, p.history, "%s failed without a reason: %+v", p.id, before)
		return
	}
	s.found.count("documents failed in the storm: " + before.Error.Code)
	r := s.clients[p.tenant].do(ctx, 0, http.MethodPost, "/v1/documents/"+p.id+"/retry", nil)
	if !r.ok() {
		s.found.violatef(1, p.history, "%s failed (%s) and may not be tried again: %s", p.id, before.Error.Code, r)
		return
	}
	if d, err := s.clients[p.tenant].settled(ctx, 0, p.id); err != nil || d.Status != "indexed" || d.Error != nil {
		s.found.violatef(1, p.history, "%s, which failed in the storm (%s), is %s when it is tried again: %v %+v", p.id, before.Error.Code, d.Status, err, d.Error)
	}
}

// checkBlobs: no bytes are kept that no document needs, but those of uploads
// whose gateway died before they were accepted, which are told.
func (s *storm) checkBlobs(r *record) {
	needed := map[string]bool{}
	for _, keys := range r.kept {
		for _, key := range keys {
			needed[key] = true
		}
	}
	for key := range r.blobs {
		if !needed[key] {
			s.found.count("orphan blobs (of uploads that were cut off)")
		}
	}
}
