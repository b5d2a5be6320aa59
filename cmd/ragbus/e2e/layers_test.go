package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module begins every import path of ours; the rest is the folder.
const module = "github.com/ragbus/ragbus/"

// source is one Go file as far as layers are concerned.
type source struct {
	// dir is the package's folder, "pkg/event" say.
	dir     string
	name    string
	test    bool
	ours    []string
	foreign []string
	// selected are the names used of packages and values: "Consume" of x.Consume.
	selected map[string]bool
	// settles says that it speaks the protocol of deliveries itself.
	settles bool
}

// sources parses every Go file of the repository.
func sources(t *testing.T) []source {
	t.Helper()
	base := root(t)
	var out []source
	must(t, filepath.WalkDir(base, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "data") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(file) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(base, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		s := source{dir: dir, name: filepath.ToSlash(rel), test: strings.HasSuffix(file, "_test.go") || testFolder(dir), selected: map[string]bool{}}
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(name, module); ok {
				s.ours = append(s.ours, ours)
			} else {
				s.foreign = append(s.foreign, name)
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				s.selected[n.Sel.Name] = true
			case *ast.BasicLit:
				for _, word := range []string{"CONSUMER.MSG.NEXT", "+ACK", "-NAK", "+TERM", "+WPI"} {
					s.settles = s.settles || n.Kind == token.STRING && strings.Contains(n.Value, word)
				}
			}
			return true
		})
		out = append(out, s)
		return nil
	}))
	if len(out) < 200 {
		t.Fatalf("only %d files were found", len(out))
	}
	return out
}

// testFolder reports whether a package is for tests only, by its name or by
// that of a folder above it: vectortest, scriptllm, modelserver.
func testFolder(dir string) bool {
	for above := dir; above != "." && above != "/"; above = path.Dir(above) {
		if testName(above) {
			return true
		}
	}
	return false
}

func testName(dir string) bool {
	name := path.Base(dir)
	return name == "modelserver" || strings.HasSuffix(name, "test") && name != "test" || strings.HasPrefix(name, "script") || name == "e2e" || strings.HasSuffix(dir, "internal/load") ||
		strings.HasSuffix(dir, "internal/storm") || strings.HasSuffix(dir, "internal/stack")
}

// under reports whether dir is the package above or in it.
func under(dir, above string) bool { return dir == above || strings.HasPrefix(dir, above+"/") }

// service returns the service that a package belongs to, "" for none.
func service(dir string) string {
	rest, ok := strings.CutPrefix(dir, "services/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// adapters are the packages behind ports: only those that compose know them.
var adapters = []string{
	"pkg/catalog/sqlcatalog", "pkg/conversation/sqlconversation", "pkg/access/sqlaccess", "pkg/access/jwtauth",
	"pkg/vector/embeddedvector", "pkg/vector/qdrantvector",
	"pkg/embed/minilm", "pkg/embed/genaiembed", "pkg/embed/openaiembed", "pkg/embed/cohereembed",
	"pkg/llm/genaillm", "pkg/llm/openaillm", "pkg/llm/anthropicllm",
	"pkg/blob/cloudblob", "pkg/blob/natsblob",
}

// tooLarge are packages that cost every program that links them more than what
// they are used for, and why. Tests may compare with them.
var tooLarge = map[string]string{
	"github.com/anthropics/anthropic-sdk-go": "it keeps 5 MB of other APIs in the binary and decodes by reflection; packages/ssestream does neither",
	"github.com/openai/openai-go/v3":         "its package init keeps 20 MB of other APIs in the binary; packages/ssestream does not",
}

func TestLayers(t *testing.T) {
	t.Parallel()
	foundation := map[string][]string{
		"pkg/fault": {}, "pkg/corpus": {"pkg/fault"}, "pkg/event": {"pkg/corpus", "pkg/fault"},
	}
	seen := map[string]bool{}
	for _, s := range sources(t) {
		seen[s.dir] = true
		for _, imported := range s.foreign {
			if why := tooLarge[imported]; why != "" && !s.test {
				t.Errorf("%s imports %s: %s", s.name, imported, why)
			}
		}
		for _, imported := range s.ours {
			refuse := func(why string) { t.Errorf("%s imports %s: %s", s.name, imported, why) }
			if under(s.dir, "pkg") && !under(imported, "pkg") {
				refuse("the shared module knows no service and no program")
			}
			if of := service(s.dir); of != "" {
				if other := service(imported); other != "" && other != of {
					refuse("no service knows another")
				}
				if under(imported, "cmd") {
					refuse("no service knows a program")
				}
			}
			if allowed, ok := foundation[s.dir]; ok && !s.test && !slices.Contains(allowed, imported) {
				refuse("it is below")
			}
			if s.test {
				continue
			}
			if testFolder(s.dir) {
				continue
			}
			if testFolder(imported) {
				refuse("it is for tests only")
			}
			for _, adapter := range adapters {
				composes := under(s.dir, "cmd") || under(s.dir, "pkg/backing") || strings.HasPrefix(s.dir, "services/"+service(s.dir)+"/cmd/")
				if under(imported, adapter) && !under(s.dir, adapter) && !composes {
					refuse("only those who compose a process choose an adapter")
				}
			}
		}
	}
	for _, dir := range append(slices.Clone(adapters), "pkg/fault", "pkg/corpus", "pkg/event", "pkg/worker", "services/gateway", "services/ingestor") {
		if !seen[dir] {
			t.Errorf("%s is not there any more: mend this test", dir)
		}
	}
}

// TestOnlyTheWorkerConsumes: settling a delivery is hard to get right, so it
// is done in one place. pkg/reply reads frames, which nobody settles.
func TestOnlyTheWorkerConsumes(t *testing.T) {
	t.Parallel()
	settling := []string{"Ack", "DoubleAck", "Nak", "NakWithDelay", "Term", "TermWithReason", "InProgress", "Fetch", "FetchNoWait", "Consume", "PullSubscribe"}
	workerDoes := false
	all := sources(t)
	speaks := map[string]bool{}
	for _, s := range all {
		if !s.test && (slices.Contains(s.foreign, "github.com/nats-io/nats.go/jetstream") || slices.Contains(s.foreign, "github.com/nats-io/nats.go")) {
			speaks[s.dir] = true
		}
	}
	for _, s := range all {
		if s.test || !speaks[s.dir] {
			continue
		}
		// The permissions of services name the subjects of the protocol.
		if s.settles && !under(s.dir, "pkg/worker") && s.name != "pkg/broker/access.go" {
			t.Errorf("%s speaks the protocol of deliveries: only pkg/worker consumes", s.name)
		}
		workerDoes = workerDoes || s.settles
		for _, name := range settling {
			if !s.selected[name] {
				continue
			}
			if !under(s.dir, "pkg/worker") && !under(s.dir, "pkg/broker") && !under(s.dir, "pkg/reply") {
				t.Errorf("%s calls %s: only pkg/worker consumes", s.name, name)
			}
		}
		if s.selected["Nak"] {
			t.Errorf("%s calls a bare Nak, which is redelivered at once", s.name)
		}
	}
	if !workerDoes {
		t.Error("pkg/worker settles nothing: mend this test")
	}
}
