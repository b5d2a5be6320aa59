package sqlaccess

import (
	"context"
	"fmt"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const (
	insertCharge = `insert into token_charges (tenant, account, day, request, tokens) values ($1, $2, $3, $4, $5)
		on conflict (tenant, account, day, request) do nothing`
	addUsage = `insert into token_usage (tenant, account, day, tokens) values ($1, $2, $3, $4)
		on conflict (tenant, account, day) do update set tokens = token_usage.tokens + excluded.tokens`
	selectUsage   = "select tokens from token_usage where tenant = $1 and account = $2 and day = $3"
	selectCharges = "select tenant, account, day, request from token_charges where day < $1 order by day limit $2"
	deleteCharge  = "delete from token_charges where tenant = $1 and account = $2 and day = $3 and request = $4"
)

// dayOf counts the days since 1970, UTC.
func dayOf(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

// Charge implements [access.Ledger].
func (s *Store) Charge(ctx context.Context, c access.Charge) error {
	if c.Account == "" || c.Tokens <= 0 {
		return nil
	}
	day := dayOf(c.At)
	err := s.db.Tenant(c.Tenant).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertCharge, c.Tenant, c.Account, day, c.Request, c.Tokens)
		if err != nil || n == 0 {
			return err
		}
		_, err = tx.Exec(ctx, addUsage, c.Tenant, c.Account, day, c.Tokens)
		return err
	})
	if err != nil {
		return fmt.Errorf("charge tokens: %w", err)
	}
	return nil
}

// Spent implements [access.Ledger].
func (s *Store) Spent(ctx context.Context, tenant, account string, at time.Time) (int64, error) {
	var tokens int64
	err := s.db.Tenant(tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.One(ctx, selectUsage, []any{tenant, account, dayOf(at)}, &tokens)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read spent tokens: %w", err)
	}
	return tokens, nil
}

// SweepCharges implements [access.Ledger].
func (s *Store) SweepCharges(ctx context.Context, before time.Time, limit int) (int, error) {
	var old [][]any
	err := s.db.AllTenants().Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		old = old[:0]
		err := tx.Each(ctx, selectCharges, []any{dayOf(before), limit}, func(scan func(...any) error) error {
			var (
				tenant, account, request string
				day                      int64
			)
			err := scan(&tenant, &account, &day, &request)
			old = append(old, []any{tenant, account, day, request})
			return err
		})
		if err != nil {
			return err
		}
		return tx.ExecAll(ctx, deleteCharge, old)
	})
	if err != nil {
		return 0, fmt.Errorf("sweep charges: %w", err)
	}
	return len(old), nil
}
