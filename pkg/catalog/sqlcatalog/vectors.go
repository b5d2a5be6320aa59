package sqlcatalog

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// Vectors implements [catalog.VectorCache].
func (s *Store) Vectors(ctx context.Context, tenant, profile string, hashes []string) (map[string][]float32, error) {
	known := make(map[string][]float32, len(hashes))
	err := s.db.Tenant(tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		for len(hashes) > 0 {
			slice := hashes[:min(len(hashes), maxLookup)]
			hashes = hashes[len(slice):]
			if err := s.readVectors(ctx, tx, tenant, profile, slice, known); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up vectors: %w", err)
	}
	return known, nil
}

func (s *Store) readVectors(ctx context.Context, tx *sqldb.Tx, tenant, profile string, hashes []string, known map[string][]float32) error {
	n := bucket(len(hashes))
	args := make([]any, 2, n+2)
	args[0], args[1] = tenant, profile
	for _, h := range hashes {
		args = append(args, h)
	}
	for len(args) < n+2 {
		args = append(args, "")
	}
	return tx.Each(ctx, s.lookups[n].vectors, args, func(scan func(...any) error) error {
		var (
			hash string
			raw  []byte
		)
		if err := scan(&hash, &raw); err != nil {
			return fmt.Errorf("read vector: %w", err)
		}
		known[hash] = decodeVector(raw)
		return nil
	})
}

const (
	insertVector = "insert into vectors (tenant, profile, hash, vector) values ($1, $2, $3, $4) on conflict (tenant, profile, hash) do nothing"
	insertUse    = `insert into vector_uses (tenant, document, profile, hash, generation) values ($1, $2, $3, $4, $5)
		on conflict (tenant, document, profile, hash) do update set generation = excluded.generation`
)

// PutVectors implements [catalog.VectorCache].
func (s *Store) PutVectors(ctx context.Context, ref catalog.Ref, profile string, vectors map[string][]float32) error {
	raw := make(map[string][]byte, len(vectors))
	for hash, v := range vectors {
		if hash == "" || len(v) == 0 {
			return fault.Permanentf("invalid_vector", "a cached vector has a hash and at least one dimension")
		}
		raw[hash] = encodeVector(v)
	}
	hashes := slices.Sorted(maps.Keys(raw))
	turn := s.alone(ref.Tenant, ref.ID).Beside(vectorsOf, "")
	for done := false; !done; {
		slice := hashes[:min(len(hashes), sliceSize)]
		hashes = hashes[len(slice):]
		done = len(hashes) == 0
		_, err := advanceIn(ctx, turn, ref, "remember vectors", []corpus.Status{corpus.Embedding, corpus.Indexed},
			func(ctx context.Context, tx *sqldb.Tx, r *row) error {
				inserts, uses := make([][]any, len(slice)), make([][]any, len(slice))
				for i, hash := range slice {
					inserts[i] = []any{r.Tenant, profile, hash, raw[hash]}
					uses[i] = []any{r.Tenant, r.ID, profile, hash, r.Generation}
				}
				if err := tx.ExecAll(ctx, insertVector, inserts); err != nil {
					return fmt.Errorf("insert vectors: %w", err)
				}
				if err := tx.ExecAll(ctx, insertUse, uses); err != nil {
					return fmt.Errorf("insert uses of vectors: %w", err)
				}
				return nil
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// Vectors are stored as little-endian float32.
func encodeVector(v []float32) []byte {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return raw
}

func decodeVector(raw []byte) []float32 {
	v := make([]float32, len(raw)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return v
}
