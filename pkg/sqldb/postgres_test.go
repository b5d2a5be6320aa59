package sqldb_test

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/sqldb"
)

func TestSmoke(t *testing.T) {
	url := postgres.Database(t)
	db := openWith(t, sqldb.Config{URL: url})
	migrateItems(t, db)
	if err := put(t.Context(), db, "x", 1); err != nil {
		t.Fatal(err)
	}
	if count(t, db) != 1 {
		t.Fatal("none")
	}
	t.Log(db.Notices())
}
