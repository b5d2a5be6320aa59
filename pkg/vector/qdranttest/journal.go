package qdranttest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// journal keeps every request that changed something, in the order in which
// they were applied: a record is the method's number, the length and the request.
// A record that was cut short by a kill is dropped.
type journal struct {
	mu      sync.Mutex
	file    *os.File
	numbers map[string]uint32
}

// change is a method that changes something, with its request's type.
type change struct {
	method string
	empty  func() proto.Message
	apply  func(ctx context.Context, req proto.Message) error
}

func changeOf[Q any, P interface {
	*Q
	proto.Message
}, R any](method string, call func(context.Context, P) (R, error)) change {
	return change{
		method: method,
		empty:  func() proto.Message { return P(new(Q)) },
		apply: func(ctx context.Context, req proto.Message) error {
			typed, _ := req.(P)
			_, err := call(ctx, typed)
			return err
		},
	}
}

func changes(s *Server) []change {
	c, p := collectionsService{server: s}, pointsService{server: s}
	return []change{
		changeOf(qdrant.Collections_Create_FullMethodName, c.Create),
		changeOf(qdrant.Collections_Delete_FullMethodName, c.Delete),
		changeOf(qdrant.Collections_UpdateAliases_FullMethodName, c.UpdateAliases),
		changeOf(qdrant.Points_Upsert_FullMethodName, p.Upsert),
		changeOf(qdrant.Points_Delete_FullMethodName, p.Delete),
		changeOf(qdrant.Points_SetPayload_FullMethodName, p.SetPayload),
		changeOf(qdrant.Points_UpdateVectors_FullMethodName, p.UpdateVectors),
		changeOf(qdrant.Points_CreateFieldIndex_FullMethodName, p.CreateFieldIndex),
	}
}

func openJournal(path string, s *Server) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &journal{file: file, numbers: make(map[string]uint32)}
	known := changes(s)
	for i, c := range known {
		j.numbers[c.method] = uint32(i)
	}
	end, err := replay(bufio.NewReader(file), known)
	if err == nil {
		if err = file.Truncate(end); err == nil {
			_, err = file.Seek(end, io.SeekStart)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the journal: %w", err), file.Close())
	}
	return j, nil
}

// replay applies the records and returns where the last whole one ends.
func replay(r io.Reader, known []change) (end int64, err error) {
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return end, ignoreEnd(err)
		}
		number, length := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])
		if int(number) >= len(known) || length > maxMessage {
			return end, fmt.Errorf("there is no record at %d", end)
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(r, body); err != nil {
			return end, ignoreEnd(err)
		}
		req := known[number].empty()
		if err := proto.Unmarshal(body, req); err != nil {
			return end, fmt.Errorf("decode the record at %d: %w", end, err)
		}
		if err := known[number].apply(context.Background(), req); err != nil {
			return end, fmt.Errorf("apply the record at %d: %w", end, err)
		}
		end += int64(len(head) + len(body))
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// intercept writes down what changed something. Changes are applied one at a
// time, so that the journal has their order.
func (j *journal) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	number, changes := j.numbers[info.FullMethod]
	message, ok := req.(proto.Message)
	if !changes || !ok {
		return next(ctx, req)
	}
	body, err := proto.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode a record: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	reply, err := next(ctx, req)
	if err != nil {
		return nil, err
	}
	record := binary.BigEndian.AppendUint32(nil, number)
	record = binary.BigEndian.AppendUint32(record, uint32(len(body)))
	if _, err := j.file.Write(append(record, body...)); err != nil {
		return nil, fmt.Errorf("write a record: %w", err)
	}
	return reply, nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) { // stopped before
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}
