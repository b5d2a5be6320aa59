package reply

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
)

func TestParseHeader(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Frame{
		"generate/1/12/delta":    {Stage: Generate, Attempt: 1, Seq: 12, Type: Delta},
		"retrieve/3/1/sources":   {Stage: Retrieve, Attempt: 3, Seq: 1, Type: Sources},
		"generate/2/0/keepalive": {Stage: Generate, Attempt: 2, Seq: 0, Type: KeepAlive},
	} {
		got, err := parseHeader(in)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", in, err, diff)
		}
	}
	for _, in := range []string{
		"", "generate", "generate/1/1", "generate/1/1/delta/x", "other/1/1/delta", "generate/0/1/delta", "generate/1/0/delta",
		"generate/-1/1/delta", "generate/1/1/unknown", "generate/01/1/delta", "generate/1/+1/delta", "generate/1/1e3/delta",
		"generate/99999999999999999999/1/delta", "generate/1/2000000000/delta", "/1/1/delta", "generate/1/1/",
	} {
		if _, err := parseHeader(in); !errors.Is(err, errFrame) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, s := range []string{"generate/1/12/delta", "retrieve/1/1/sources", "generate/1/0/keepalive", "a/b/c/d", "////"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		frame, err := parseHeader(s)
		if err != nil {
			return
		}
		if frame.header() != s {
			t.Errorf("%q is read as %q", s, frame.header())
		}
	})
}

func TestAReplySubjectMustBelongToItsRequest(t *testing.T) {
	t.Parallel()
	if err := CheckSubject(Subject("gw-1", "req_1"), "req_1"); err != nil {
		t.Error(err)
	}
	for _, subject := range []string{
		"", "rag.answer.v1.gw.other", "rag.answer.v1.gw.req_1.more", "rag.answer.v1.*.req_1", "rag.answer.v1.>", "rag.answer.v1..req_1",
		"rag.answer.v1.req_1", "rag.answer.v2.gw.req_1", "rag.dead.v1.gw.req_1", "$JS.API.STREAM.DELETE.RAG_CHAT", "rag.answer.v1.g w.req_1",
		"rag.document.v1.deleted.req_1",
	} {
		if err := CheckSubject(subject, "req_1"); !fault.Is(err, fault.Permanent) {
			t.Errorf("%q: %v", subject, err)
		}
	}
	if err := CheckSubject("rag.answer.v1.gw.*", "*"); err == nil {
		t.Error("a request that is a wildcard was accepted")
	}
}
