package callers_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/access/sqlaccess"
	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/callers"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestTheSettingSaysWhoKnowsCallers(t *testing.T) {
	t.Parallel()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "ragbus.db"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store, err := sqlaccess.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	key, digest, bearer, err := access.Issue(access.Key{Name: "n", Tenant: "acme", Scopes: access.NewScopes(access.Chat)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), key, digest); err != nil {
		t.Fatal(err)
	}
	issuer := config.Vars{
		"RAGBUS_JWT_ISSUER": "https://issuer.example.com", "RAGBUS_JWT_AUDIENCE": "ragbus", "RAGBUS_JWT_JWKS_URL": "http://127.0.0.1:1/keys",
	}
	for auth, c := range map[string]struct {
		vars config.Vars
		code string // of the key's holder
		none bool
		bad  string
	}{
		access.AuthNone: {none: true},
		access.AuthKeys: {},
		access.AuthJWT:  {vars: issuer, code: "valid credential"},
		"perhaps":       {bad: "RAGBUS_AUTH", none: true},
	} {
		cfg, err := config.Load[callers.Config](c.vars)
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Check(auth, false); err != nil {
			t.Errorf("%s: %v", auth, err)
		}
		k, err := callers.Open(backing.Host{}, auth, cfg, backing.Records{Access: store})
		if (err != nil) != (c.bad != "") || err != nil && !strings.Contains(err.Error(), c.bad) || (k.Authenticator == nil) != c.none {
			t.Errorf("%s: %+v, %v", auth, k, err)
			continue
		}
		if c.none {
			continue
		}
		who, err := k.Authenticate(t.Context(), bearer)
		if (err == nil) != (c.code == "") || err == nil && who.KeyID != key.ID || err != nil && !strings.Contains(err.Error(), c.code) {
			t.Errorf("%s: %+v, %v", auth, who, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := k.Run(ctx); err != nil {
			t.Errorf("%s: %v", auth, err)
		}
	}
	used, _, err := store.Find(t.Context(), key.ID)
	if err != nil || used.LastUsedAt.IsZero() {
		t.Errorf("when the key was used is not recorded: %+v, %v", used, err)
	}
	err = (callers.Config{}).Check(access.AuthJWT, true)
	for _, name := range []string{"RAGBUS_JWT_ISSUER", "RAGBUS_BUS_SECRET"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("jwt without its settings: %s is not named in %v", name, err)
		}
	}
}
