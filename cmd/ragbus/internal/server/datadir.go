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

// recorded refuses a data directory without the record that is to be in it,
// for commands that only look at what is there: a mistyped one would be made,
// and found in order.
func recorded(cfg Config) error {
	if cfg.Database.URL != "" {
		return nil
	}
	return there(filepath.Join(cfg.DataDir, databaseFile))
}

// kept refuses a data directory that is not there though parts are to be in it.
func kept(cfg Config) error {
	if cfg.Broker.URL != "" && cfg.Index.URL != "" && cfg.Blobs.URL != "" {
		return recorded(cfg)
	}
	if err := recorded(cfg); err != nil {
		return err
	}
	return there(cfg.DataDir)
}

func there(path string) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s is not there; name the data directory of the server, or the parts that it has elsewhere", path)
	}
	return backing.Unusable("RAGBUS_DATA_DIR", err)
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
