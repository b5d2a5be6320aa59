package sqlaccess

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const (
	columns = "id, tenant, name, owner, principals, scopes, requests_per_minute, tokens_per_day, digest, created_at, expires_at, last_used_at, revoked_at"

	insertKey  = "insert into api_keys (" + columns + ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0) on conflict (id) do nothing"
	selectKey  = "select " + columns + " from api_keys where id = $1"
	listAll    = "select " + columns + " from api_keys where id > $1 order by id limit $2"
	listTenant = "select " + columns + " from api_keys where tenant = $1 and id > $2 order by id limit $3"
	revokeKey  = "update api_keys set revoked_at = $2 where id = $1 and revoked_at = 0"
	useKey     = "update api_keys set last_used_at = $2 where id = $1 and last_used_at < $2"
)

// Create implements [access.Keys]. It has reached the disk when it returns:
// the credential is shown only once.
func (s *Store) Create(ctx context.Context, k access.Key, d access.Digest) error {
	if err := k.Check(); err != nil {
		return err
	}
	principals, err := json.Marshal(slices.Concat([]string{}, k.Principals))
	if err != nil {
		return fault.As(fault.Permanent, fmt.Errorf("encode principals: %w", err))
	}
	scopes, err := json.Marshal(k.Scopes)
	if err != nil {
		return fault.As(fault.Permanent, fmt.Errorf("encode scopes: %w", err))
	}
	err = s.db.Tenant(k.Tenant).WriteSynced(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, insertKey, k.ID, k.Tenant, k.Name, k.Owner, string(principals), string(scopes),
			k.Limits.RequestsPerMinute, k.Limits.TokensPerDay, hex.EncodeToString(d[:]), micros(k.CreatedAt), micros(k.ExpiresAt))
		if err == nil && n == 0 {
			return fault.Invalidf("key_exists", "there is a key with this id").WithField("id")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("create key: %w", err)
	}
	return nil
}

// Find implements [access.Keys].
func (s *Store) Find(ctx context.Context, id string) (access.Key, access.Digest, error) {
	var found row
	// Whose key it is says the key only.
	err := s.db.AllTenants().Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return found.read(ctx, tx, id) })
	if err != nil {
		return access.Key{}, access.Digest{}, fmt.Errorf("find key: %w", err)
	}
	return found.key, found.digest, nil
}

// List implements [access.Keys].
func (s *Store) List(ctx context.Context, tenant, after string, limit int) ([]access.Key, error) {
	scope, query, args := s.db.Tenant(tenant), listTenant, []any{tenant, after, limit}
	if tenant == "" {
		scope, query, args = s.db.AllTenants(), listAll, []any{after, limit}
	}
	list := []access.Key{}
	err := scope.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Each(ctx, query, args, func(scan func(...any) error) error {
			var r row
			err := r.scan(scan)
			list = append(list, r.key)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return list, nil
}

// Revoke implements [access.Keys]. It has reached the disk when it returns.
func (s *Store) Revoke(ctx context.Context, tenant, id string) (access.Key, error) {
	scope := s.db.Tenant(tenant)
	if tenant == "" {
		scope = s.db.AllTenants()
	}
	var found row
	now := time.Now().UnixMicro()
	err := scope.WriteSynced(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if err := found.read(ctx, tx, id); err != nil {
			return err
		}
		if tenant != "" && found.key.Tenant != tenant {
			return noKey()
		}
		if _, err := tx.Exec(ctx, revokeKey, id, now); err != nil {
			return err
		}
		return found.read(ctx, tx, id)
	})
	if err != nil {
		return access.Key{}, fmt.Errorf("revoke key: %w", err)
	}
	return found.key, nil
}

// Used implements [access.Keys].
func (s *Store) Used(ctx context.Context, at map[string]time.Time) error {
	// In one order everywhere: two gateways must not wait for each other.
	rows := make([][]any, 0, len(at))
	for _, id := range slices.SortedFunc(maps.Keys(at), cmp.Compare[string]) {
		rows = append(rows, []any{id, micros(at[id])})
	}
	err := s.db.AllTenants().Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return tx.ExecAll(ctx, useKey, rows) })
	if err != nil {
		return fmt.Errorf("record when keys were used: %w", err)
	}
	return nil
}

// row is a row of api_keys.
type row struct {
	key    access.Key
	digest access.Digest
}

func (r *row) read(ctx context.Context, tx *sqldb.Tx, id string) error {
	found := false
	err := tx.Each(ctx, selectKey, []any{id}, func(scan func(...any) error) error {
		found = true
		return r.scan(scan)
	})
	if err == nil && !found {
		return noKey()
	}
	return err
}

func (r *row) scan(scan func(...any) error) error {
	var (
		k                               access.Key
		principals, scopes, digest      string
		created, expires, used, revoked int64
	)
	err := scan(&k.ID, &k.Tenant, &k.Name, &k.Owner, &principals, &scopes, &k.Limits.RequestsPerMinute, &k.Limits.TokensPerDay,
		&digest, &created, &expires, &used, &revoked)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	damaged := func(err error) error { return fault.As(fault.Permanent, fmt.Errorf("read key %s: %w", k.ID, err)) }
	if err := json.Unmarshal([]byte(principals), &k.Principals); err != nil {
		return damaged(err)
	}
	if err := json.Unmarshal([]byte(scopes), &k.Scopes); err != nil {
		return damaged(err)
	}
	if n, err := hex.Decode(r.digest[:], []byte(digest)); err != nil || n != len(r.digest) {
		return damaged(fmt.Errorf("its digest has %d bytes: %w", n, err))
	}
	k.CreatedAt, k.ExpiresAt, k.LastUsedAt, k.RevokedAt = fromMicros(created), fromMicros(expires), fromMicros(used), fromMicros(revoked)
	r.key = k
	return nil
}

func noKey() error { return fault.NotFoundf("key_not_found", "there is no such key") }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
