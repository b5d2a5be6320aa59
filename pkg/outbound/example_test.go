package outbound_test

import (
	"context"
	"fmt"

	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
	"github.com/ragbus/ragbus/pkg/outbound"
)

// How a process puts its models behind endpoints, with the second one for
// when the first fails.
func Example() {
	ctx := context.Background()
	metrics := outbound.NewMetrics(nil) // the process's registry
	guard := func(name string, m llm.Model, secret string) llm.Model {
		info := m.Info()
		pacer, err := outbound.NewPacer(outbound.PacerKey(info.Provider, info.Name, secret), outbound.PacerConfig{RequestsPerMinute: 1000},
			outbound.PacerDeps{Metrics: metrics}) // Bucket: outbound.OpenBucket(js, replicas, true)
		if err != nil {
			panic(err)
		}
		endpoint, err := outbound.New(outbound.Config{Name: name}, outbound.Deps{Pacer: pacer, Metrics: metrics})
		if err != nil {
			panic(err)
		}
		// endpoint.Probe is a lifecycle.Check: {Name: name, Probe: endpoint.Probe}
		return outbound.Model(m, endpoint)
	}
	chain, err := outbound.NewChain(outbound.ChainConfig{Metrics: metrics, Spare: 1},
		guard("llm", scriptllm.New(scriptllm.Say("an answer")), "key one"),
		guard("llm_fallback", scriptllm.New(scriptllm.Say("another answer")), "key two"))
	if err != nil {
		panic(err)
	}
	for delta, err := range chain.Stream(ctx, llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "a question"}}}) {
		if err != nil {
			panic(err)
		}
		fmt.Print(delta.Text)
	}
	// Output: an answer
}
