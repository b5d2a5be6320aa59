package e2e

import (
	"net/http"
	"strings"
)

func searches(a api, _ Shape) {
	for id, of := range map[string][2]string{
		"s-red":  {"shelf-one", `{"colour":"red","size":3,"fresh":true}`},
		"s-blue": {"shelf-one", `{"colour":"blue","size":7,"fresh":false}`},
		"s-pink": {"shelf-two", `{"colour":"pink","size":11}`},
	} {
		a.indexed(id, story("searchling "+strings.TrimPrefix(id, "s-"), 2), "collection", of[0], "metadata", of[1], "title", "On "+id)
	}
	both := []string{"shelf-one", "shelf-two"}
	cases := []struct {
		name        string
		collections []string
		filter      map[string]any
		want        string
	}{
		{"both collections", both, nil, "s-blue s-pink s-red"},
		{"one collection", []string{"shelf-two"}, nil, "s-pink"},
		{"an unknown collection", []string{"shelf-nine"}, nil, ""},
		{"a value", both, map[string]any{"metadata.colour": "red"}, "s-red"},
		{"a list of values", both, map[string]any{"metadata.colour": []string{"red", "pink"}}, "s-pink s-red"},
		{"a boolean", both, map[string]any{"metadata.fresh": false}, "s-blue"},
		{"a number", both, map[string]any{"metadata.size": 11}, "s-pink"},
		{"a range", both, map[string]any{"metadata.size": map[string]any{"gte": 3, "lte": 7}}, "s-blue s-red"},
		{"a bound", both, map[string]any{"metadata.size": map[string]any{"gte": 7}}, "s-blue s-pink"},
		{"two conditions", both, map[string]any{"metadata.size": map[string]any{"gte": 7}, "metadata.colour": "pink"}, "s-pink"},
		{"a key that no document has", both, map[string]any{"metadata.nothing": 1}, ""},
		{"a collection and a filter", []string{"shelf-one"}, map[string]any{"metadata.colour": "pink"}, ""},
	}
	for _, c := range cases {
		for _, mode := range []string{"hybrid", "keyword", "dense"} {
			request := map[string]any{"query": "searchling", "mode": mode, "collections": c.collections, "limit": 50}
			if c.filter != nil {
				request["filter"] = c.filter
			}
			got := a.search(request)
			if got.Query != "searchling" {
				a.t.Errorf("%s: the query is %q", c.name, got.Query)
			}
			if ids := documentsOf(got.Passages); ids != c.want {
				a.t.Errorf("%s, %s: found in %q, want %q", c.name, mode, ids, c.want)
			}
			for i, p := range got.Passages {
				if i > 0 && p.Score > got.Passages[i-1].Score {
					a.t.Errorf("%s, %s: passages are not ordered by score", c.name, mode)
				}
				k, d := p.Scores.Keyword != nil, p.Scores.Dense != nil
				if mode == "keyword" && (!k || d) || mode == "dense" && (k || !d) || !k && !d {
					a.t.Errorf("%s, %s: a passage has the scores %+v", c.name, mode, p.Scores)
				}
			}
		}
	}
	// A passage is a chunk, verbatim.
	got := a.search(map[string]any{"query": "searchling", "collections": both, "limit": 3})
	if len(got.Passages) != 3 {
		a.t.Errorf("a limit of 3 gave %d passages", len(got.Passages))
	}
	for _, p := range got.Passages {
		known := false
		for _, c := range a.chunks(p.DocumentID) {
			if c.ID == p.ID {
				known = c.Text == p.Text && c.CharStart == p.CharStart && c.CharEnd == p.CharEnd && c.Section == p.Section && c.Version == p.Version
			}
		}
		if !known || p.Title != "On "+p.DocumentID {
			a.t.Errorf("the passage is no chunk of its document: %+v", p)
		}
	}
}

// documentsOf lists the documents of passages, sorted, each once.
func documentsOf(passages []passage) string {
	ids := map[string]bool{}
	for _, p := range passages {
		ids[p.DocumentID] = true
	}
	return strings.Join(sorted(ids), " ")
}

func badRequests(a api, _ Shape) {
	long := strings.Repeat("why ", 1<<18)
	for _, c := range []struct {
		name, method, path, kind, body string
		status                         int
		code                           string
	}{
		{"unknown field", "POST", "/v1/search", "application/json", `{"query":"x","colour":1}`, 400, "unknown_field"},
		{"not JSON", "POST", "/v1/search", "application/json", `{"query":`, 400, "invalid_json"},
		{"invalid UTF-8", "POST", "/v1/search", "application/json", "{\"query\":\"\xff\"}", 400, "invalid_utf8"},
		{"no query", "POST", "/v1/search", "application/json", `{}`, 400, "empty_query"},
		{"unknown mode", "POST", "/v1/search", "application/json", `{"query":"x","mode":"psychic"}`, 400, "invalid_mode"},
		{"limit too high", "POST", "/v1/search", "application/json", `{"query":"x","limit":101}`, 400, "invalid_limit"},
		{"filter of another form", "POST", "/v1/search", "application/json", `{"query":"x","filter":{"colour":1}}`, 400, "invalid_filter"},
		{"empty question", "POST", "/v1/chat", "application/json", `{"question":"  "}`, 400, "empty_question"},
		{"a megabyte of question", "POST", "/v1/chat", "application/json", `{"question":"` + long + `"}`, 413, "body_too_large"},
		{"unknown conversation", "POST", "/v1/chat", "application/json", `{"question":"x","conversation_id":"nowhere"}`, 404, "conversation_not_found"},
		{"id with dots", "POST", "/v1/documents?id=..%2Fetc", "text/plain", "text", 400, "invalid_id"},
		{"id with a wildcard", "GET", "/v1/documents/%3E", "", "", 400, "invalid_id"},
		{"collection with a dot", "POST", "/v1/documents?collection=a.b", "text/plain", "text", 400, "invalid_id"},
		{"empty document", "POST", "/v1/documents", "text/plain", "", 400, "empty_document"},
		{"malformed form", "POST", "/v1/documents", "multipart/form-data; boundary=x", "--y\r\n", 400, "malformed_multipart"},
		{"form without a file", "POST", "/v1/documents", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na\r\n--x--\r\n", 400, "missing_file"},
		{"unknown parameter", "GET", "/v1/documents?colour=red", "", "", 400, "unknown_parameter"},
		{"wait of a year", "GET", "/v1/documents/nowhere?wait=8760h", "", "", 400, "invalid_wait"},
		{"unknown document", "GET", "/v1/documents/nowhere", "", "", 404, "document_not_found"},
		{"unknown chat", "GET", "/v1/chat/nowhere", "", "", 404, "chat_not_found"},
		{"unknown route", "GET", "/v2/everything", "", "", 404, "route_not_found"},
		{"wrong method", "PUT", "/v1/search", "", "", 405, "method_not_allowed"},
		{"event of no type", "POST", "/v1/events", "application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"s"}`, 400, "event_type_missing"},
	} {
		h := []string{}
		if c.kind != "" {
			h = append(h, "Content-Type", c.kind)
		}
		r := a.in(a.t).do(c.method, c.path, strings.NewReader(c.body), h...)
		r.what = c.name
		r.problem(c.status, c.code)
	}
	a.get("/livez").want(http.StatusOK)
}
