package access

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

func TestWhatAScopeImplies(t *testing.T) {
	t.Parallel()
	for held, want := range map[Scope][]Scope{
		Chat:           {Chat},
		DocumentsRead:  {DocumentsRead},
		DocumentsWrite: {DocumentsRead, DocumentsWrite},
		Events:         {Events},
		Admin:          AllScopes(),
		"unheard of":   nil,
	} {
		var got []Scope
		for _, s := range AllScopes() {
			if NewScopes(held).Allow(s) {
				got = append(got, s)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", held, diff)
		}
		if NewScopes(held).Allow("") || NewScopes(held).Allow("unheard of") {
			t.Errorf("%s allows what is no scope", held)
		}
	}
}

func TestScopesAreReadAndWritten(t *testing.T) {
	t.Parallel()
	set, err := ParseScopes([]string{"admin", "chat"})
	if err != nil || set.String() != "chat,admin" {
		t.Fatalf("%s, %v", set, err)
	}
	text, err := json.Marshal(set)
	if err != nil || string(text) != `["chat","admin"]` {
		t.Errorf("%s, %v", text, err)
	}
	var again Scopes
	if err := json.Unmarshal(text, &again); err != nil || again != set {
		t.Errorf("read again: %s, %v", again, err)
	}
	if text, err := json.Marshal(Scopes(0)); err != nil || string(text) != "[]" {
		t.Errorf("nothing: %s, %v", text, err)
	}
	for _, bad := range []string{`["chat","Admin"]`, `"chat"`, `[1]`} {
		if err := json.Unmarshal([]byte(bad), &again); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	if _, err := ParseScopes([]string{"*"}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "documents:read") {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestAnIdentityIsHeldToItsScopes(t *testing.T) {
	t.Parallel()
	id := Identity{Tenant: "acme", Owner: "o", Scopes: NewScopes(Chat)}
	if err := id.May(Chat); err != nil {
		t.Error(err)
	}
	err := id.May(DocumentsWrite)
	code, message := fault.Public(err)
	if !errors.Is(err, ErrForbidden) || code != "missing_scope" || !strings.Contains(message, "documents:write") {
		t.Errorf("got %v", err)
	}
	for _, s := range AllScopes() {
		if err := Anonymous().May(s); err != nil {
			t.Error(err)
		}
	}
	if anyone := Anonymous(); anyone.Tenant != corpus.DefaultTenant || anyone.Owner == "" || anyone.Account != "" {
		t.Errorf("anonymous: %+v", anyone)
	}
	if _, err := (Identity{}).Scope(); err == nil {
		t.Error("nobody has a scope")
	}
	id.Principals = []string{"group:a"}
	if s, err := id.Scope(); err != nil || !s.Sees([]string{"group:a"}) || s.Sees([]string{"group:b"}) || s.Tenant() != "acme" {
		t.Errorf("scope %+v, %v", s, err)
	}
}
