package generator

import (
	"strconv"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
)

// BenchmarkAnswer is a whole delivery with a scripted model: eight passages of
// 1,000 characters, an answer with two citations, frames sent, the turn
// stored in a file. Recording the question is not part of it.
func BenchmarkAnswer(b *testing.B) {
	for name, stream := range map[string]bool{"stream=false": false, "stream=true": true} {
		b.Run(name, func(b *testing.B) {
			const text = "The room 1 was finished in the year 1901 [1]. The room 2 was finished in the year 1902 [2]."
			bench := newBench(b)
			s := bench.service(b, scriptllm.New(scriptllm.Say(text), scriptllm.WithoutRequests()))
			var from []corpus.Passage
			for i := range 8 {
				n := strconv.Itoa(i + 1)
				from = append(from, corpus.Passage{
					ID: "d.v." + n, DocumentID: "d", Version: "v", Title: "Rooms", Section: "Room " + n, Score: 1,
					Text: "The room " + n + " was finished in the year 190" + n + ". " + strings.Repeat("Visitors find a desk, two windows and a lamp in room "+n+". ", 17),
				})
			}
			asked := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				asked++
				e := bench.retrieved(b, "bench-"+strconv.Itoa(asked), func(r *event.ChatRetrieved) { r.Passages, r.Asked.Stream = listed(b, from), stream })
				b.StartTimer()
				if trial := try(b, s, e, 1); trial.Err != nil {
					b.Fatal(trial.Err)
				}
			}
		})
	}
}
