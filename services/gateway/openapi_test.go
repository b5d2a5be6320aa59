package gateway

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write openapi.json from docs/openapi.yaml")

const specPath = "../../docs/openapi.yaml"

// spec returns docs/openapi.yaml as JSON values.
var spec = sync.OnceValues(func() (map[string]any, error) {
	data, err := os.ReadFile(specPath)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	if err := yaml.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	// Through JSON, so that numbers and keys are JSON's.
	data, err = json.Marshal(v)
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return doc.(map[string]any), nil
})

// schemas compiles every schema of the document once, by the pointer to it.
var schemas = sync.OnceValue(func() func(pointer string) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	doc, err := spec()
	if err == nil {
		err = c.AddResource("spec.json", doc)
	}
	var mu sync.Mutex
	return func(pointer string) (*jsonschema.Schema, error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			return nil, err
		}
		return c.Compile("spec.json#" + pointer)
	}
})

func TestOpenAPIIsCurrent(t *testing.T) {
	t.Parallel()
	doc, err := spec()
	must(t, err)
	want, err := json.Marshal(doc)
	must(t, err)
	if *update {
		must(t, os.WriteFile("openapi.json", want, 0o644))
	}
	var a, b any
	must(t, json.Unmarshal(openAPIJSON, &a))
	must(t, json.Unmarshal(want, &b))
	if diff := cmp.Diff(b, a); diff != "" && !*update {
		t.Fatalf("openapi.json is not docs/openapi.yaml; go test -run TestOpenAPIIsCurrent -update writes it:\n%.600s", diff)
	}
}

func TestEveryRouteIsDocumentedAndTheOtherWayRound(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	served := map[string]bool{}
	for _, r := range g.svc.app.GetRoutes(true) {
		if r.Method == http.MethodHead {
			continue // said once of all: TestEveryGetButStreamsHasAHead
		}
		served[r.Method+" "+regexp.MustCompile(`:(\w+)`).ReplaceAllString(r.Path, "{$1}")] = true
	}
	got := g.get("/openapi.json")
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	got.decode(t, &doc)
	documented, ids := map[string]bool{}, map[string]bool{}
	for path, item := range doc.Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var op struct {
				OperationID string         `json:"operationId"`
				Responses   map[string]any `json:"responses"`
			}
			must(t, json.Unmarshal(raw, &op))
			documented[strings.ToUpper(method)+" "+path] = true
			if op.OperationID == "" || ids[op.OperationID] || len(op.Responses) == 0 {
				t.Errorf("%s %s has no operation id of its own, or no responses", method, path)
			}
			ids[op.OperationID] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Fatal(diff)
	}
}

// TestEveryOperationSaysItsScope compares the document with the route table.
func TestEveryOperationSaysItsScope(t *testing.T) {
	t.Parallel()
	doc, err := spec()
	must(t, err)
	for _, rt := range routes() {
		path := rt.documentedPath()
		op := doc["paths"].(map[string]any)[path].(map[string]any)[strings.ToLower(rt.method)].(map[string]any)
		want := []any{}
		if rt.scope != public {
			want = []any{map[string]any{"bearer": []any{string(rt.scope)}}}
		}
		if diff := cmp.Diff(any(want), op["security"]); diff != "" {
			t.Errorf("%s %s: %s", rt.method, rt.path, diff)
		}
	}
}

func TestEveryProblemCodeIsDocumentedWithItsStatus(t *testing.T) {
	t.Parallel()
	doc, err := spec()
	must(t, err)
	listed := doc["x-problem-codes"].(map[string]any)
	for code, entry := range listed {
		want, err := entry.(map[string]any)["status"].(json.Number).Int64()
		must(t, err)
		if s := codeStatus(code); s != 0 && int64(s) != want {
			t.Errorf("%s is documented with %d and answered with %d", code, want, s)
		}
	}
	for code := range codesInSource(t) {
		if _, ok := listed[code]; !ok {
			t.Errorf("the code %s is not in x-problem-codes", code)
		}
	}
}

// codesInSource returns the codes that the package gives its faults.
func codesInSource(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	must(t, err)
	codes := map[string]bool{}
	at := map[string]int{"Invalidf": 0, "NotFoundf": 0, "Permanentf": 0, "Transientf": 0, "Throttledf": 1, "New": 1, "overloaded": 0}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fn := ""
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				fn = f.Sel.Name
			case *ast.Ident:
				fn = f.Name
			}
			i, ok := at[fn]
			if !ok || len(call.Args) <= i {
				return true
			}
			if lit, ok := call.Args[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				code, err := strconv.Unquote(lit.Value)
				must(t, err)
				codes[code] = true
			}
			return true
		})
	}
	if len(codes) < 40 {
		t.Fatalf("only %d codes found", len(codes))
	}
	return codes
}

// conforms checks a response against its schema in the document.
func (a answered) conforms(t testing.TB, method, path string) {
	t.Helper()
	doc, err := spec()
	must(t, err)
	op := doc["paths"].(map[string]any)[path].(map[string]any)[strings.ToLower(method)].(map[string]any)
	responses := op["responses"].(map[string]any)
	base := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path) + "/" + strings.ToLower(method) + "/responses/"
	status := strconv.Itoa(a.status)
	kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if _, ok := responses[status]; !ok {
		status = "default"
		if _, ok := responses[status]; !ok {
			t.Errorf("%s %s: status %d is not documented", method, path, a.status)
			return
		}
		base = "/components/responses/Problem"
		status = ""
	}
	pointer := base + status + "/content/" + strings.ReplaceAll(kind, "/", "~1") + "/schema"
	schema, err := schemas()(pointer)
	if err != nil {
		t.Errorf("%s %s %d %s: %v", method, path, a.status, kind, err)
		return
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	must(t, err)
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s %s %d: %v\n%.500s", method, path, a.status, err, a.body)
	}
}

func TestResponsesHaveTheDocumentedShape(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Yes [1]."))
	s.retriever(searchAnswer)
	g := s.serve()
	check := func(method, path, pattern string, body string, h header) answered {
		t.Helper()
		got := g.do(method, path, strings.NewReader(body), h)
		got.conforms(t, method, pattern)
		return got
	}
	jsonType := header{"Content-Type": "application/json"}
	doc := check("POST", "/v1/documents", "/v1/documents", `{"text":"x","id":"d1","metadata":{"a":1,"b":true,"c":"d"},"acl":["*"],"source":"https://example.com"}`, jsonType)
	if doc.status != http.StatusAccepted {
		t.Fatalf("%s", doc.body)
	}
	check("POST", "/v1/documents", "/v1/documents", `{"text":"x","id":"d1","metadata":{"a":1,"b":true,"c":"d"},"acl":["*"],"source":"https://example.com"}`, jsonType)
	check("POST", "/v1/documents", "/v1/documents", `{"text":""}`, jsonType)
	s.settle("d1")
	check("GET", "/v1/documents", "/v1/documents", "", nil)
	check("GET", "/v1/documents/d1", "/v1/documents/{id}", "", nil)
	check("GET", "/v1/documents/none", "/v1/documents/{id}", "", nil)
	check("PATCH", "/v1/documents/d1", "/v1/documents/{id}", `{"title":"T"}`, jsonType)
	check("GET", "/v1/documents/d1/chunks", "/v1/documents/{id}/chunks", "", nil)
	check("POST", "/v1/documents/d1/retry", "/v1/documents/{id}/retry", "", nil)
	check("DELETE", "/v1/documents/d1", "/v1/documents/{id}", "", nil)
	check("POST", "/v1/search", "/v1/search", `{"query":"q"}`, jsonType)
	check("POST", "/v1/search", "/v1/search", `{"query":"q","limit":1000}`, jsonType)
	chat := check("POST", "/v1/chat", "/v1/chat", `{"question":"q"}`, jsonType)
	var c struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
	}
	chat.decode(t, &c)
	check("POST", "/v1/chat", "/v1/chat", `{"question":"q","background":true}`, jsonType)
	check("POST", "/v1/chat", "/v1/chat", `{"question":""}`, jsonType)
	check("GET", "/v1/chat/"+c.ID, "/v1/chat/{id}", "", nil)
	check("DELETE", "/v1/chat/"+c.ID, "/v1/chat/{id}", "", nil)
	check("GET", "/v1/conversations", "/v1/conversations", "", nil)
	check("GET", "/v1/conversations/"+c.ConversationID, "/v1/conversations/{id}", "", nil)
	check("GET", "/v1/conversations/"+c.ConversationID+"/messages", "/v1/conversations/{id}/messages", "", nil)
	check("POST", "/v1/events", "/v1/events",
		`{"specversion":"1.0","id":"e","source":"/s","type":"ragbus.document.deleted.v1","data":{"id":"d"}}`, header{"Content-Type": structuredType})
	check("POST", "/v1/events", "/v1/events", `{}`, jsonType)
	for _, path := range []string{"/livez", "/readyz", "/health", "/version", "/openapi.json"} {
		check("GET", path, path, "", nil)
	}
	events := g.askStreaming(nil).rest()
	for name, pointer := range map[string]string{"done": "Chat", "citation": "Citation"} {
		schema, err := schemas()("/components/schemas/" + pointer)
		must(t, err)
		i := slices.IndexFunc(events, func(e sseEvent) bool { return e.name == name })
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(events[i].data))
		must(t, err)
		if err := schema.Validate(v); err != nil {
			t.Error(err)
		}
	}
}

func TestExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	doc, err := spec()
	must(t, err)
	n := 0
	var walk func(v any, pointer string)
	walk = func(v any, pointer string) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		if example, ok := m["example"]; ok && m["schema"] != nil {
			schema, err := schemas()(pointer + "/schema")
			must(t, err)
			if err := schema.Validate(example); err != nil {
				t.Errorf("%s: %v", pointer, err)
			}
			n++
		}
		for key, child := range m {
			walk(child, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(key))
		}
	}
	walk(doc, "")
	if n < 8 {
		t.Fatalf("only %d examples", n)
	}
}
