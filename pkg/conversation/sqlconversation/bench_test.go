package sqlconversation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/conversation"
)

// reportCPU adds the processor time of the whole process to a benchmark: on a
// busy machine the time on the wall says little.
func reportCPU(b *testing.B) {
	b.Helper()
	start := cpuTime(b)
	b.Cleanup(func() { b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N)/1e3, "cpu-µs/op") })
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkChat is what one question costs the store: Accept, History of a
// new conversation, and Finish with 8 KB of sources.
func BenchmarkChat(b *testing.B) {
	benchmarkChat(b, func(b *testing.B) conversation.Store { b.Helper(); return open(b) })
}

func BenchmarkChatOnPostgres(b *testing.B) {
	benchmarkChat(b, func(b *testing.B) conversation.Store { b.Helper(); return openOn(b, openURL(b, postgres.Database(b))) })
}

func benchmarkChat(b *testing.B, open func(*testing.B) conversation.Store) {
	b.Helper()
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprint("goroutines=", goroutines), func(b *testing.B) {
			s := open(b)
			var n atomic.Int64
			b.ReportAllocs()
			reportCPU(b)
			if goroutines == 1 {
				for b.Loop() {
					chat(b, s, n.Add(1))
				}
				return
			}
			b.SetParallelism(goroutines / 2)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					chat(b, s, n.Add(1))
				}
			})
		})
	}
}

func chat(b *testing.B, s conversation.Store, n int64) {
	b.Helper()
	who := conversation.Caller{Tenant: "default", Owner: "anonymous"}
	id := fmt.Sprintf("0193%028d", n)
	turn, first, err := s.Accept(b.Context(), conversation.Question{
		Caller: who, ID: id, Digest: id, Text: "What is the answer to this question about something?",
		AskedAt: time.Now(), Deadline: time.Now().Add(time.Minute),
	})
	if err != nil || !first {
		b.Errorf("accept: %t, %v", first, err)
		return
	}
	if _, err := s.History(b.Context(), who, turn.Question.ConversationID, id, 6); err != nil {
		b.Error(err)
	}
	_, err = s.Finish(b.Context(), who, conversation.Answer{
		ID: id, ConversationID: turn.Question.ConversationID, Status: conversation.Completed, Answer: strings.Repeat("An answer of some length. ", 10), Grounded: true,
		Citations: make([]conversation.Citation, 3), Sources: json.RawMessage(`["` + strings.Repeat("x", 8<<10) + `"]`), CreatedAt: time.Now(),
	})
	if err != nil {
		b.Error(err)
	}
}

func BenchmarkHistory(b *testing.B) {
	s := open(b)
	who := conversation.Caller{Tenant: "default", Owner: "anonymous"}
	thread := ""
	for i := range 10 {
		id := fmt.Sprint("q", i)
		turn, _, err := s.Accept(b.Context(), conversation.Question{Caller: who, ID: id, ConversationID: thread, Text: "A question of the usual length?"})
		if err != nil {
			b.Fatal(err)
		}
		thread = turn.Question.ConversationID
		_, err = s.Finish(b.Context(), who, conversation.Answer{ID: id, Status: conversation.Completed, Answer: "An answer.", Sources: json.RawMessage(`["` + strings.Repeat("x", 8<<10) + `"]`)})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	reportCPU(b)
	for b.Loop() {
		turns, err := s.History(b.Context(), who, thread, "q9", 6)
		if err != nil || len(turns) != 6 {
			b.Fatalf("%d turns, %v", len(turns), err)
		}
	}
}
