// Package blobtest is the contract of a blob store: every kind of bucket passes it.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Open returns an empty store, which ends with the test.
type Open func(t *testing.T) *blob.Store

// Run runs the whole contract.
func Run(t *testing.T, open Open) {
	t.Helper()
	for name, run := range cases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, open(t))
		})
	}
}

func key(t *testing.T, document, upload string) string {
	t.Helper()
	k, err := blob.Key("acme", document, upload)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func prefix(t *testing.T, document string) string {
	t.Helper()
	p, err := blob.Prefix("acme", document)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func put(t *testing.T, s *blob.Store, key, content string) {
	t.Helper()
	if _, err := s.Put(t.Context(), key, strings.NewReader(content), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

func wantContent(t *testing.T, s *blob.Store, key, want string) {
	t.Helper()
	r, info, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want || info.Bytes != int64(len(want)) {
		t.Errorf("got %d bytes of %d, %v; want %d", len(got), info.Bytes, err, len(want))
	}
}

// read returns what comes out of a proven read before it ends.
func read(t *testing.T, s *blob.Store, key string, want blob.Info) ([]byte, error) {
	t.Helper()
	r, err := s.Read(t.Context(), key, want)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	return io.ReadAll(iotest.HalfReader(r))
}

func wantMissing(t *testing.T, s *blob.Store, key string) {
	t.Helper()
	_, _, err := s.Get(t.Context(), key)
	if code, _ := fault.Public(err); !fault.Is(err, fault.NotFound) || code != "blob_not_found" {
		t.Errorf("%s: got %v, want not found", key, err)
	}
}

func keys(t *testing.T, s *blob.Store, prefix string) []string {
	t.Helper()
	var all []string
	for item, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, item.Key)
	}
	return all
}

func wantKeys(t *testing.T, s *blob.Store, prefix string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, keys(t, s, prefix)); diff != "" {
		t.Errorf("keys below %s (-want +got):\n%s", prefix, diff)
	}
}

// random returns n bytes that compress badly and repeat for a seed.
func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func cases() map[string]func(*testing.T, *blob.Store) {
	return map[string]func(*testing.T, *blob.Store){
		"what was put is got, with its size and digest": func(t *testing.T, s *blob.Store) {
			for i, n := range []int{0, 1, 511, 64 << 10, 64<<10 + 1, 3 << 20} {
				content := random(n, uint64(i))
				k := key(t, "d", fmt.Sprint("u", i))
				info, err := s.Put(t.Context(), k, iotest.HalfReader(bytes.NewReader(content)), blob.PutOptions{MediaType: "application/pdf"})
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256(content)
				if info.Bytes != int64(n) || info.SHA256 != hex.EncodeToString(sum[:]) {
					t.Errorf("%d bytes: got %+v", n, info)
				}
				wantContent(t, s, k, string(content))
			}
		},
		"all blobs can be walked a page at a time": paging,
		"a media type that is none does no harm": func(t *testing.T, s *blob.Store) {
			for i, declared := range []string{"", "nonsense", "text/html; charset=\"", strings.Repeat("x", 1000), "a/b\r\nX: y"} {
				k := key(t, "d", fmt.Sprint("u", i))
				if _, err := s.Put(t.Context(), k, strings.NewReader("x"), blob.PutOptions{MediaType: declared}); err != nil {
					t.Errorf("%q: %v", declared, err)
				}
			}
		},
		"a blob is replaced whole": func(t *testing.T, s *blob.Store) {
			k := key(t, "d", "u")
			put(t, s, k, strings.Repeat("long", 1000))
			put(t, s, k, "short")
			wantContent(t, s, k, "short")
			put(t, s, k, "short")
			wantContent(t, s, k, "short")
			wantKeys(t, s, prefix(t, "d"), k)
		},
		"a body of the largest size is taken and one byte more is not": func(t *testing.T, s *blob.Store) {
			const limit = 200 << 10
			body := string(random(limit+1, 1))
			good, bad := key(t, "d", "good"), key(t, "d", "bad")
			if _, err := s.Put(t.Context(), good, strings.NewReader(body[:limit]), blob.PutOptions{MaxBytes: limit}); err != nil {
				t.Error(err)
			}
			_, err := s.Put(t.Context(), bad, strings.NewReader(body), blob.PutOptions{MaxBytes: limit})
			if code, _ := fault.Public(err); !fault.Is(err, fault.Invalid) || code != "body_too_large" {
				t.Errorf("got %v", err)
			}
			wantMissing(t, s, bad)
			wantKeys(t, s, prefix(t, "d"), good)
		},
		"an endless body is given up at the limit": func(t *testing.T, s *blob.Store) {
			body := &endless{}
			_, err := s.Put(t.Context(), key(t, "d", "u"), body, blob.PutOptions{MaxBytes: 1 << 20})
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("got %v", err)
			}
			if body.read > 2<<20 {
				t.Errorf("%d bytes were read", body.read)
			}
			wantKeys(t, s, prefix(t, "d"))
		},
		"a body that breaks leaves nothing and its error comes back": func(t *testing.T, s *blob.Store) {
			broken := errors.New("the client went away")
			k := key(t, "d", "u")
			for _, why := range []error{broken, io.ErrUnexpectedEOF} {
				for _, n := range []int{0, 10, 300 << 10, 6 << 20} {
					body := io.MultiReader(bytes.NewReader(random(n, 1)), iotest.ErrReader(why))
					if _, err := s.Put(t.Context(), k, body, blob.PutOptions{}); !errors.Is(err, why) {
						t.Errorf("got %v", err)
					}
					wantMissing(t, s, k)
				}
			}
			put(t, s, k, "before")
			body := io.MultiReader(strings.NewReader("aft"), iotest.ErrReader(broken))
			if _, err := s.Put(t.Context(), k, body, blob.PutOptions{}); !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			wantContent(t, s, k, "before")
		},
		"a put that is cancelled leaves nothing": func(t *testing.T, s *blob.Store) {
			k := key(t, "d", "u")
			for _, n := range []int{0, 1, 5} {
				ctx, cancel := context.WithCancelCause(t.Context())
				why := errors.New("nobody wants it any more")
				body := &cancelling{after: n, cancel: func() { cancel(why) }}
				if _, err := s.Put(ctx, k, body, blob.PutOptions{}); !errors.Is(err, why) || !fault.Is(err, fault.Transient) {
					t.Errorf("got %v", err)
				}
				cancel(nil)
				wantMissing(t, s, k)
			}
			wantKeys(t, s, prefix(t, "d"))
		},
		"a blob that is being written is not seen": func(t *testing.T, s *blob.Store) {
			k := key(t, "d", "u")
			body := readFunc(func(p []byte) (int, error) {
				wantMissing(t, s, k)
				wantKeys(t, s, prefix(t, "d"))
				return copy(p, "x"), io.EOF
			})
			if _, err := s.Put(t.Context(), k, body, blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			wantContent(t, s, k, "x")
		},
		"what is read is proven": func(t *testing.T, s *blob.Store) {
			k := key(t, "d", "u")
			for i, n := range []int{0, 1, 64 << 10, 64<<10 + 1, 200 << 10} {
				content := random(n, uint64(i))
				info, err := s.Put(t.Context(), k, bytes.NewReader(content), blob.PutOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got, err := read(t, s, k, info); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes: got %d, %v", n, len(got), err)
				}
				other := info
				other.SHA256 = strings.Repeat("0", 64)
				longer, shorter := info, info
				longer.Bytes++
				shorter.Bytes--
				for _, wrong := range []blob.Info{other, longer, shorter} {
					got, err := read(t, s, k, wrong)
					if code, _ := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "blob_damaged" || n > 0 && len(got) >= n {
						t.Errorf("%d bytes read as %+v: got %d, %v", n, wrong, len(got), err)
					}
				}
			}
			_, err := s.Read(t.Context(), key(t, "d", "absent"), blob.Info{})
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("got %v", err)
			}
		},
		"a part is read": parts,
		"a missing blob is not found": func(t *testing.T, s *blob.Store) {
			wantMissing(t, s, key(t, "d", "u"))
			put(t, s, key(t, "d", "u"), "x")
			wantMissing(t, s, key(t, "d", "v"))
		},
		"deleting is repeatable": func(t *testing.T, s *blob.Store) {
			k := key(t, "d", "u")
			put(t, s, k, "x")
			for range 2 {
				if err := s.Delete(t.Context(), k); err != nil {
					t.Fatal(err)
				}
				wantMissing(t, s, k)
			}
			put(t, s, k, "again")
			wantContent(t, s, k, "again")
		},
		"a prefix is deleted but for what is kept, and nothing beside it": func(t *testing.T, s *blob.Store) {
			for _, d := range []string{"d", "dd", "d_", "d-", "D2"} {
				for _, u := range []string{"1", "2", "3"} {
					put(t, s, key(t, d, u), d+u)
				}
			}
			if err := s.DeletePrefix(t.Context(), prefix(t, "d"), key(t, "d", "2")); err != nil {
				t.Fatal(err)
			}
			wantKeys(t, s, prefix(t, "d"), key(t, "d", "2"))
			for range 2 {
				if err := s.DeletePrefix(t.Context(), prefix(t, "d"), ""); err != nil {
					t.Fatal(err)
				}
			}
			wantKeys(t, s, prefix(t, "d"))
			if n := len(keys(t, s, "documents/acme/")); n != 12 {
				t.Errorf("%d blobs are left, want 12", n)
			}
		},
		"a listing has keys in order, sizes and times": func(t *testing.T, s *blob.Store) {
			for _, u := range []string{"b", "a", "c"} {
				put(t, s, key(t, "d", u), strings.Repeat(u, 5))
			}
			wantKeys(t, s, prefix(t, "d"), key(t, "d", "a"), key(t, "d", "b"), key(t, "d", "c"))
			wantKeys(t, s, prefix(t, "e"))
			for item, err := range s.List(t.Context(), "documents/") {
				if err != nil || item.Bytes != 5 || item.ModTime.IsZero() {
					t.Errorf("got %+v, %v", item, err)
				}
				break
			}
		},
		"names that look like escapes stay themselves": func(t *testing.T, s *blob.Store) {
			var want []string
			for _, d := range []string{"a__0x2f__b", "__0x", "__0x0__", "a", "_", "-"} {
				k := key(t, d, "__0x2e__")
				put(t, s, k, d)
				wantContent(t, s, k, d)
				wantKeys(t, s, prefix(t, d), k)
				want = append(want, k)
			}
			if n := len(keys(t, s, "documents/")); n != len(want) {
				t.Errorf("%d blobs are listed, want %d", n, len(want))
			}
			for _, k := range want {
				if err := s.Delete(t.Context(), k); err != nil {
					t.Error(err)
				}
			}
			wantKeys(t, s, "documents/")
		},
		"what is no key is refused": func(t *testing.T, s *blob.Store) {
			for _, k := range []string{
				"", "x", "documents/a/b", "documents/a/b/c/d", "documents/../../etc", "documents/a/b/..", "/documents/a/b/c",
				"documents/a/b/c.attrs", "documents//b/c", "other/a/b/c", "documents/a/b/c ", "documents/a/b/" + strings.Repeat("x", 200),
			} {
				_, putErr := s.Put(t.Context(), k, strings.NewReader("x"), blob.PutOptions{})
				_, _, getErr := s.Get(t.Context(), k)
				for _, err := range []error{putErr, getErr, s.Delete(t.Context(), k)} {
					if !fault.Is(err, fault.Invalid) {
						t.Errorf("%q: got %v", k, err)
					}
				}
			}
			for _, p := range []string{"", "/", "documents", "documents/a", "documents/a/b/c/", "documents/../", "documents//", "other/"} {
				if err := s.DeletePrefix(t.Context(), p, ""); !fault.Is(err, fault.Invalid) {
					t.Errorf("prefix %q: got %v", p, err)
				}
			}
		},
		"an open store is ready": func(t *testing.T, s *blob.Store) {
			if err := s.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"many write at once": func(t *testing.T, s *blob.Store) {
			var wg sync.WaitGroup
			for i := range 30 {
				wg.Go(func() {
					k := key(t, fmt.Sprint("d", i%5), fmt.Sprint("u", i))
					content := string(random(10<<10, uint64(i)))
					if _, err := s.Put(t.Context(), k, strings.NewReader(content), blob.PutOptions{}); err != nil {
						t.Error(err)
						return
					}
					wantContent(t, s, k, content)
				})
			}
			wg.Wait()
			if n := len(keys(t, s, "documents/acme/")); n != 30 {
				t.Errorf("%d blobs are listed", n)
			}
		},
	}
}

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// cancelling is an endless body that ends its context after some reads.
type cancelling struct {
	after  int
	cancel func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	if c.after == 0 {
		c.cancel()
	}
	c.after--
	return len(p), nil
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }
