package cli

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Keys has one key of acme, which is expired.
func (operator) Keys(ctx context.Context, _ bool, do func(context.Context, access.Keys) error) error {
	return do(ctx, &keysInMemory{list: []access.Key{{
		ID: "abc", Name: "old", Tenant: "acme", Owner: "user:ann", Scopes: access.NewScopes(access.Admin), ExpiresAt: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
	}}})
}

type keysInMemory struct {
	access.Keys
	mu   sync.Mutex
	list []access.Key
}

func (m *keysInMemory) Create(_ context.Context, k access.Key, _ access.Digest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, k)
	return k.Check()
}

func (m *keysInMemory) List(_ context.Context, tenant, after string, _ int) ([]access.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.list), func(k access.Key) bool { return k.ID <= after || tenant != "" && k.Tenant != tenant }), nil
}

func (m *keysInMemory) Revoke(_ context.Context, tenant, id string) (access.Key, error) {
	for _, k := range m.list {
		if k.ID == id && (tenant == "" || k.Tenant == tenant) {
			k.RevokedAt = time.Now()
			return k, nil
		}
	}
	return access.Key{}, fault.NotFoundf("key_not_found", "there is no such key")
}

func TestKeysAreManaged(t *testing.T) {
	t.Parallel()
	const bearer = `rb_[a-z2-7]{16}_[a-z2-7]{52}`
	for _, c := range []struct {
		args      string
		out, errs string // patterns of all that is printed
		code      int
	}{
		{"keys create --name ci", bearer + `\n`, `key [a-z2-7]{16} \(ci\) of the tenant default may chat,documents:read; .*\n`, ExitOK},
		{"keys create --name ci --tenant acme --scopes events,admin --expires 90d", bearer + `\n`, `.* of the tenant acme may events,admin; .*\n`, ExitOK},
		{"keys create --name ci --expires 2999-01-31 --json", `(?s)\{\n  "key": "` + bearer + `",\n  "id": .*"expires_at": "2999-01-31T00:00:00Z".*\}\n`, ``, ExitOK},
		{"keys create", ``, `ragbus: a key's name has .*\n`, ExitUsage},
		{"keys create --name ci --scopes root", ``, `ragbus: "root" is not a scope.*\n`, ExitUsage},
		{"keys create --name ci --principals *", ``, `ragbus: .* is not a principal .*\n`, ExitUsage},
		{"keys create --name ci --tenant a.b", ``, `ragbus: tenant may hold only .*\n`, ExitUsage},
		{"keys create --name ci --expires never", ``, `ragbus: --expires: "never" is neither .*\n`, ExitUsage},
		{"keys create --name ci --expires -1h", ``, `ragbus: .*\n`, ExitUsage},
		{"keys create --name ci --expires 2020-01-01", ``, `ragbus: --expires: 2020-01-01 is in the past\n`, ExitUsage},
		{"keys create --name ci --tokens-per-day -1", ``, `ragbus: a limit is a whole number.*\n`, ExitUsage},
		{"keys create ci", ``, `ragbus: unknown command "ci".*\n`, ExitUsage},
		{"keys ls", `ID +STATE +NAME .*\nabc +expired +old +acme +user:ann +admin +2020-01-02 03:04 +-\n`, ``, ExitOK},
		{"keys ls --tenant other", `ID +STATE .*\n`, ``, ExitOK},
		{"keys ls --tenant other --json", `\[\]\n`, ``, ExitOK},
		{"keys revoke abc", `abc \(old\) is revoked\n`, ``, ExitOK},
		{"keys revoke rb_abc_secret", `abc \(old\) is revoked\n`, ``, ExitOK},
		{"keys revoke abc --tenant other", ``, `ragbus: there is no such key\n`, ExitError},
		{"keys revoke a.b", ``, `ragbus: this is not the id of a key; .*\n`, ExitUsage},
		{"keys revoke", ``, `ragbus: accepts 1 arg.*\n`, ExitUsage},
		{"keys rm abc", ``, `ragbus: unknown command "rm" .*\n`, ExitUsage},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			out, errs, code := command(t, false, strings.Fields(c.args)...)
			if code != c.code || !regexp.MustCompile(`\A`+c.out+`\z`).MatchString(out) || !regexp.MustCompile(`\A`+c.errs+`\z`).MatchString(errs) {
				t.Errorf("exit code %d\nout:  %s\nerrs: %s", code, out, errs)
			}
		})
	}
}

func TestWhatIsPrintedOfANewKeyIsTheKey(t *testing.T) {
	t.Parallel()
	out, _, _ := command(t, false, strings.Fields("keys create --name ci --owner user:ann --principals group:a --principals group:b --requests-per-minute 60 --tokens-per-day 5000 --json")...)
	var k issuedKey
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(k.Bearer, "rb_"+k.ID+"_") || k.Owner != "user:ann" || len(k.Principals) != 2 || k.Limits != (access.Limits{RequestsPerMinute: 60, TokensPerDay: 5000}) {
		t.Errorf("printed %s", out)
	}
}

func TestWhenAKeyExpires(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "12h": now.Add(12 * time.Hour), "30d": now.AddDate(0, 0, 30), "2027-01-31": time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
		"2026-11-23T12:00:00+01:00": now.Add(time.Hour),
	} {
		if got, err := parseExpiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"0d", "-3d", "d", "1e9d", "99999999d", "0h", "12", "tomorrow", "2026-11-23T10:00:00Z", "2026-11-23", "2027-13-01"} {
		if got, err := parseExpiry(text, now); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}
