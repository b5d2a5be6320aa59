package access

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

func epoch() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC) }

// issued returns a key of acme that everything is right with.
func issued(t testing.TB, change func(*Key)) (Key, Digest, string) {
	t.Helper()
	k := Key{Name: "ci", Tenant: "acme", Owner: "user:ann", Principals: []string{"group:b", "group:a", "group:a"}, Scopes: NewScopes(Chat)}
	if change != nil {
		change(&k)
	}
	k, d, bearer, err := Issue(k, epoch())
	if err != nil {
		t.Fatal(err)
	}
	return k, d, bearer
}

func TestAnIssuedKeyHasAStrongSecretThatIsKeptNowhere(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		k, d, bearer := issued(t, nil)
		id, secret, ok := splitBearer(bearer)
		if !ok || id != k.ID || !d.is(digestOf(secret)) || !strings.HasPrefix(bearer, "rb_"+k.ID+"_") {
			t.Fatalf("bearer %s of %+v", bearer, k)
		}
		if len(secret) != 52 { // 256 bits, 5 a character
			t.Errorf("the secret has %d characters", len(secret))
		}
		text, err := json.Marshal(k)
		if err != nil || strings.Contains(string(text), secret) {
			t.Errorf("the record holds the secret: %s, %v", text, err)
		}
		if seen[k.ID] || seen[secret] {
			t.Error("the same twice")
		}
		seen[k.ID], seen[secret] = true, true
	}
	k, _, _ := issued(t, nil)
	if len(k.Principals) != 2 || k.Principals[0] != "group:a" || !k.CreatedAt.Equal(epoch().Truncate(time.Microsecond)) {
		t.Errorf("key %+v", k)
	}
}

func TestWhatIsNoKeyIsRefusedByItsField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Key)
		field  string
	}{
		"no tenant":                {func(k *Key) { k.Tenant = "" }, "tenant"},
		"a tenant with a dot":      {func(k *Key) { k.Tenant = "a.b" }, "tenant"},
		"no name":                  {func(k *Key) { k.Name = "" }, "name"},
		"a name of two lines":      {func(k *Key) { k.Name = "a\nb" }, "name"},
		"a long name":              {func(k *Key) { k.Name = strings.Repeat("x", 201) }, "name"},
		"an owner that is no text": {func(k *Key) { k.Owner = "\xff" }, "owner"},
		"no scope":                 {func(k *Key) { k.Scopes = 0 }, "scopes"},
		"everyone":                 {func(k *Key) { k.Principals = []string{"*"} }, "principals"},
		"an empty principal":       {func(k *Key) { k.Principals = []string{""} }, "acl"},
		"too many principals": {func(k *Key) {
			for i := range 101 {
				k.Principals = append(k.Principals, strings.Repeat("p", i+1))
			}
		}, "principals"},
		"a limit below zero": {func(k *Key) { k.Limits.TokensPerDay = -1 }, "limits"},
		"expired when made":  {func(k *Key) { k.ExpiresAt = epoch().Add(-time.Second) }, "expires_at"},
	} {
		k := Key{Name: "n", Tenant: "acme", Owner: "o", Scopes: NewScopes(Chat)}
		c.change(&k)
		if _, _, _, err := Issue(k, epoch()); !fault.Is(err, fault.Invalid) || fault.Field(err) != c.field {
			t.Errorf("%s: %v, field %s", name, err, fault.Field(err))
		}
	}
}

func FuzzSplitBearer(f *testing.F) {
	_, _, bearer := issued(f, nil)
	for _, seed := range []string{bearer, "", "rb_", "rb__", "rb_a_b", bearer + "a", bearer[:len(bearer)-1], strings.ToUpper(bearer), strings.Replace(bearer, "_", "-", 2)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, bearer string) {
		id, secret, ok := splitBearer(bearer)
		if ok && (keyPrefix+id+"_"+secret != bearer || len(id) != 16 || len(secret) != 52) {
			t.Errorf("%q is %q and %q", bearer, id, secret)
		}
	})
}
