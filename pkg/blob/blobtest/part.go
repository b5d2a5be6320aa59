package blobtest

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/fault"
)

// parts is the contract of [blob.Store.ReadPart].
func parts(t *testing.T, s *blob.Store) {
	const size = 300 << 10 // several chunks of any store that has them
	k := key(t, "d", "u")
	content := random(size, 1)
	info, err := s.Put(t.Context(), k, bytes.NewReader(content), blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []blob.Part{
		{Offset: 0, Bytes: 1},
		{Offset: 0, Bytes: size},
		{Offset: size - 1, Bytes: 1},
		{Offset: 1, Bytes: size - 1},
		{Offset: 128<<10 - 1, Bytes: 2},
		{Offset: 128 << 10, Bytes: 128 << 10},
		{Offset: 100 << 10, Bytes: 150 << 10},
	} {
		r, err := s.ReadPart(t.Context(), k, info, p)
		if err != nil {
			t.Errorf("%+v: %v", p, err)
			continue
		}
		got, err := io.ReadAll(iotest.HalfReader(r))
		if err != nil || !bytes.Equal(got, content[p.Offset:p.Offset+p.Bytes]) {
			t.Errorf("%+v: got %d bytes, %v", p, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []blob.Part{
		{Offset: -1, Bytes: 1},
		{Offset: 0, Bytes: 0},
		{Offset: 0, Bytes: -1},
		{Offset: 0, Bytes: size + 1},
		{Offset: size, Bytes: 1},
		{Offset: 1, Bytes: 1<<63 - 1},
	} {
		if _, err := s.ReadPart(t.Context(), k, info, p); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", p, err)
		}
	}
	longer, shorter := info, info
	longer.Bytes++
	shorter.Bytes--
	for _, wrong := range []blob.Info{longer, shorter} {
		_, err := s.ReadPart(t.Context(), k, wrong, blob.Part{Offset: 1, Bytes: 1})
		if code, _ := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "blob_damaged" {
			t.Errorf("a blob of another size: got %v", err)
		}
	}
	_, err = s.ReadPart(t.Context(), key(t, "d", "absent"), info, blob.Part{Bytes: 1})
	if code, _ := fault.Public(err); !fault.Is(err, fault.NotFound) || code != "blob_not_found" {
		t.Errorf("got %v", err)
	}
}
