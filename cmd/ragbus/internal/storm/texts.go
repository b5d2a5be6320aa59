package storm

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
)

// canary is the word that is in every sentence of a document and in no other:
// it names its tenant and its document. It is long, so that no random id of the
// hundreds of thousands that a storm sees holds one by chance.
func canary(tenant, document int) string { return fmt.Sprintf("zqkestrel%dd%dw", tenant, document) }

// canaryPattern finds canaries; its groups are the tenant and the document.
func canaryPattern() *regexp.Regexp { return regexp.MustCompile(`zqkestrel(\d+)d(\d+)w`) }

// sighting is a canary that was found in a response.
type sighting struct{ tenant, document int }

func sightings(pattern *regexp.Regexp, body []byte) map[sighting]bool {
	out := map[sighting]bool{}
	for _, m := range pattern.FindAllSubmatch(body, -1) {
		t, err1 := strconv.Atoi(string(m[1]))
		d, err2 := strconv.Atoi(string(m[2]))
		if err1 == nil && err2 == nil {
			out[sighting{t, d}] = true
		}
	}
	return out
}

// quest is the word that tells a question from all others.
func quest(tenant, chat int) string { return fmt.Sprintf("quest%dx%dq", tenant, chat) }

func questPattern() *regexp.Regexp { return regexp.MustCompile(`quest\d+x\d+q`) }

// story returns a plain text of paragraphs whose every sentence has the word.
// The same arguments give the same text; versions share their first paragraph.
func story(word string, paragraphs, version int) string {
	var b strings.Builder
	for p := range paragraphs {
		seed := version
		if p == 0 {
			seed = 0
		}
		h := fnv.New64a()
		_, _ = fmt.Fprint(h, word, p, seed)
		r := rand.New(rand.NewPCG(h.Sum64(), uint64(p))) //nolint:gosec // no secret
		if p > 0 {
			b.WriteString("\n\n")
		}
		for s := range 8 {
			if s > 0 {
				b.WriteByte(' ')
			}
			sentence(&b, r, word)
		}
	}
	// What tells versions from each other, even of one paragraph.
	fmt.Fprintf(&b, "\n\nThis is edition number %d of the chronicle of %s.\n", version, word)
	return b.String()
}

func sentence(b *strings.Builder, r *rand.Rand, word string) {
	who := strings.Fields("baker sailor printer gardener judge painter miller tailor surgeon pilot teacher mason weaver porter captain clerk")
	did := strings.Fields("carried repaired measured painted forgot admired sold weighed borrowed counted polished described buried opened")
	what := strings.Fields("barrel lantern anchor ledger violin kettle ladder mirror hammer saddle compass basket curtain statue bottle wagon")
	where := strings.Fields("harbour market chapel orchard bridge cellar tower meadow quarry station library valley island garden")
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	fmt.Fprintf(b, "In %d the %s %s %s the %s %s behind the %s of number %d.", 1500+r.IntN(500), word, pick(who), pick(did), pick(what),
		pick(who), pick(where), r.IntN(9000))
}

// fact is what questions are about: a document that does not change.
type fact struct {
	place string
	year  int
	// word is its canary.
	word string
}

// factNumber is the number of the first document of facts.
const factNumber = 1_000_000

func (f fact) text() string {
	return fmt.Sprintf("The lighthouse of %s was built in %d by the engineer Ottilie Brandt. It stands 41 metres tall (%s).\n\n"+
		"The ferry to %s leaves the harbour of Dunvik every Tuesday at seven in the morning. The crossing takes ninety minutes.\n", f.place, f.year, f.word, f.place)
}

func (f fact) question(word string) string {
	return fmt.Sprintf("When was the lighthouse of %s built? (%s)", f.place, word)
}

// facts are those of a tenant: about the same places, and other years.
func facts(tenant int) []fact {
	var out []fact
	for i, place := range strings.Fields("Quellmar Streamholm Dunvik Aldersund Brackenfirth Corvane Ellisport Fennmouth") {
		out = append(out, fact{place, 1501 + 7*i + 60*tenant, canary(tenant, factNumber+i)})
	}
	return out
}

// hostile is an upload that must end as a refusal or as a failure that says why.
type hostile struct {
	name, filename, kind string
	body                 []byte
}

func hostiles() ([]hostile, error) {
	bomb, err := zipBomb()
	if err != nil {
		return nil, err
	}
	const encrypted = "%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n" +
		"3 0 obj\n<< /Filter /Standard /V 4 /R 4 /Length 128 /P -44 /O (01234567890123456789012345678901) /U (01234567890123456789012345678901) >>\nendobj\n" +
		"trailer\n<< /Root 1 0 R /Size 4 /Encrypt 3 0 R /ID [(a) (b)] >>\n%%EOF\n"
	const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	return []hostile{
		{"an encrypted PDF", "a.pdf", "application/pdf", []byte(encrypted)},
		{"a truncated PDF", "a.pdf", "application/pdf", []byte("%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 ob")},
		{"a zip bomb", "a.docx", docx, bomb},
		{"nothing at all", "a.txt", "text/plain", nil},
		{"another type than it says", "a.pdf", "application/pdf", []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00")},
	}, nil
}

// zipBomb is a small DOCX whose text unpacks to 256 MiB.
func zipBomb() ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, head := range map[string]string{
		"[Content_Types].xml": `<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`,
		"word/document.xml":   `<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>`,
	} {
		w, err := z.Create(name)
		if err != nil {
			return nil, fmt.Errorf("make a zip bomb: %w", err)
		}
		if _, err := io.WriteString(w, head); err != nil {
			return nil, fmt.Errorf("make a zip bomb: %w", err)
		}
		if name != "word/document.xml" {
			continue
		}
		block := bytes.Repeat([]byte("a "), 1<<19)
		for range 256 {
			if _, err := w.Write(block); err != nil {
				return nil, fmt.Errorf("make a zip bomb: %w", err)
			}
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("make a zip bomb: %w", err)
	}
	return buf.Bytes(), nil
}
