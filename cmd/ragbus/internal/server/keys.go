package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/access/sqlaccess"
	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// Keys calls do with the record of API keys, which is made when it is not
// there and that is wanted; the log says so. It works beside a server that
// runs, also on its SQLite file: what a server remembers of documents and
// conversations depends on nobody else writing these, but it reads keys anew
// every few seconds.
func (o Operator) Keys(ctx context.Context, create bool, do func(context.Context, access.Keys) error) (err error) {
	cfg, log, err := o.settings()
	if err != nil {
		return err
	}
	if create {
		announce(ctx, cfg, log)
	} else if err := recorded(cfg); err != nil {
		return err
	}
	url := cfg.Database.URL.Reveal()
	if url == "" {
		// As the server makes it, whichever comes first.
		if err := os.MkdirAll(cfg.DataDir, 0o750); err != nil {
			return inDir(fmt.Errorf("make the data directory: %w", err))
		}
		url = sqldb.FileURL(filepath.Join(cfg.DataDir, databaseFile))
	}
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url})
	if err != nil {
		return backing.Unusable("RAGBUS_DATABASE_URL", fmt.Errorf("open the database: %w", err))
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, notice := range db.Notices() {
		log.WarnContext(ctx, notice) //nolint:sloglint // sentences made for the log
	}
	keys, err := sqlaccess.Open(ctx, db)
	if err != nil {
		return err
	}
	return do(ctx, keys)
}
