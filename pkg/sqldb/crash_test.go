package sqldb_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ragbus/ragbus/pkg/sqldb"
)

// crashEnv holds the database's path in the process that is to be killed.
const crashEnv = "SQLDB_CRASH_PATH"

// writeUntilKilled writes from several goroutines and prints every id after
// its write was acknowledged. It never returns.
func writeUntilKilled(path string) {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, sqldb.Config{URL: sqldb.FileURL(path)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var out sync.Mutex
	for g := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", g, i)
				// Two rows each: a write must be there whole or not at all.
				err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
					for _, half := range []string{"a", "b"} {
						if _, err := tx.Exec(ctx, "insert into items (id, value) values ($1, $2)", id+half, i); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				out.Lock()
				_, _ = fmt.Fprintln(os.Stdout, id)
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestEveryAcknowledgedWriteSurvivesKill9(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "crash.db")
	db := open(t, path)
	migrateItems(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	acknowledged := make(map[string]bool)
	for _, enough := range []int{500, 900, 2000} {
		for _, id := range killAfter(t, path, enough) {
			acknowledged[id] = true
		}
		checkAfterCrash(t, path, acknowledged)
		emptyItems(t, path)
		clear(acknowledged)
	}
}

// killAfter runs a writer, kills it after enough acknowledged writes, and returns these.
func killAfter(t *testing.T, path string, enough int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashEnv+"="+path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		ids = append(ids, lines.Text())
		if len(ids) == enough {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(ids) < enough {
		t.Fatalf("the writer ended after %d writes (%v): %s", len(ids), err, stderr.String())
	}
	// The last line may be cut; a cut id is a beginning of a true one, and not known to be acknowledged.
	return ids[:len(ids)-1]
}

func checkAfterCrash(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var verdict string
	if err := raw.QueryRowContext(t.Context(), "pragma integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity check: %q, %v", verdict, err)
	}
	halves := make(map[string]int)
	rows, err := raw.QueryContext(t.Context(), "select id from items")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		halves[id[:len(id)-1]]++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for id := range acknowledged {
		if halves[id] == 0 {
			t.Errorf("the acknowledged write %s is lost", id)
		}
	}
	for id, n := range halves {
		if n != 2 {
			t.Errorf("the write %s is there in part", id)
		}
	}
}

func emptyItems(t *testing.T, path string) {
	t.Helper()
	db := open(t, path)
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, "delete from items")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
