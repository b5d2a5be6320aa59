package server

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/access/sqlaccess"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

func TestKeysAreMadeBesideAServerThatRuns(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	o := operator(config.Vars{"RAGBUS_DATA_DIR": dir, "RAGBUS_API_KEY": "rb_of_somebody_who_uses_another_server"})
	k, digest, bearer, err := access.Issue(access.Key{Name: "n", Tenant: "acme", Scopes: access.NewScopes(access.Chat)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	// Before there is anything.
	if err := o.Keys(t.Context(), true, func(ctx context.Context, keys access.Keys) error { return keys.Create(ctx, k, digest) }); err != nil {
		t.Fatal(err)
	}
	// While a server has the directory and the file.
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqldb.FileURL(filepath.Join(dir, databaseFile)), Sole: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	record, err := sqlaccess.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ring := access.NewKeyring(record, nil, func() time.Time { return now })
	if who, err := ring.Authenticate(t.Context(), bearer); err != nil || who.Tenant != "acme" {
		t.Errorf("known as %+v, %v", who, err)
	}
	err = o.Keys(t.Context(), false, func(ctx context.Context, keys access.Keys) error {
		_, err := keys.Revoke(ctx, "", k.ID)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(access.MaxKeyAge)
	if _, err := ring.Authenticate(t.Context(), bearer); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("after it was revoked: %v", err)
	}
}

func TestKeysOfADatabaseThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://nobody:hunter2@127.0.0.1:1/none?connect_timeout=1", "mysql://x:hunter2@y"} {
		err := operator(config.Vars{"RAGBUS_DATABASE_URL": url, "RAGBUS_DATA_DIR": "/nowhere"}).Keys(t.Context(), false, nil)
		if !process.NeedsOperator(err) || strings.Contains(err.Error(), "RAGBUS_DATA_DIR") || !strings.Contains(err.Error(), "RAGBUS_DATABASE_URL") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
