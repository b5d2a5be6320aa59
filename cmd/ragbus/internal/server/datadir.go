package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ragbus/ragbus/pkg/backing"
)

// databaseFile is the SQLite file in the data directory.
const databaseFile = "ragbus.db"

// recorded refuses a data directory that holds nothing, for commands that only
// look at what is there: a mistyped one would be made, and found in order.
func recorded(cfg Config) error {
	embedded := cfg.Database.URL == "" || cfg.Broker.URL == "" || cfg.Index.URL == "" || cfg.Blobs.URL == ""
	at := cfg.DataDir
	if cfg.Database.URL == "" {
		at = filepath.Join(at, databaseFile)
	}
	if _, err := os.Stat(at); !embedded || err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return backing.Unusable("RAGBUS_DATA_DIR", err)
	}
	return backing.Unusable("RAGBUS_DATA_DIR", fmt.Errorf("%s is not there; name the data directory of the server, or where its parts are: RAGBUS_DATABASE_URL and so on", at))
}

// announce warns that a database is about to be made, which whoever mistyped
// the directory did not mean.
func announce(ctx context.Context, cfg Config, log *slog.Logger) {
	if cfg.Database.URL != "" {
		return
	}
	at := filepath.Join(cfg.DataDir, databaseFile)
	if _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) {
		log.WarnContext(ctx, "there is no database yet; one is made (RAGBUS_DATA_DIR)", slog.String("path", at))
	}
}
