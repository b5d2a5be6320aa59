package modelcatalog

// effortLow is the least thinking that all current models of a provider take.
const effortLow = "low"

// The tables are as of 2026-11-20, from the providers' pages of models, prices
// and deprecations: ai.google.dev/gemini-api/docs/{models,pricing,deprecations},
// developers.openai.com/api/docs/{models,pricing,deprecations},
// platform.claude.com/docs/en/about-claude/{models,pricing} and
// docs.cohere.com/docs/cohere-embed. A model whose last day is past, or within
// three weeks of that date, is not listed.

func chatModels() []ChatModel {
	return append(append(geminiChat(), openaiChat()...), anthropicChat()...)
}

func geminiChat() []ChatModel {
	flash := func(name string, p Price) ChatModel {
		// Generation 3 is documented for its own temperature only, and refuses others from 3.6 on.
		return ChatModel{Provider: Gemini, Name: name, ContextTokens: 1 << 20, OutputTokens: 65536, Price: p, Effort: effortLow}
	}
	pro := flash("gemini-3.1-pro-preview", Price{2, .2, 12})
	pro.LongFrom, pro.LongPrice = 200_000, Price{4, .4, 18}
	return []ChatModel{
		flash("gemini-3.8-flash", Price{.75, .075, 3.75}),
		flash("gemini-3.7-flash", Price{.75, .075, 3.75}),
		flash("gemini-3.6-flash", Price{.75, .075, 3.75}),
		flash("gemini-3.5-flash", Price{1.5, .15, 9}),
		flash("gemini-3.5-flash-lite", Price{.3, .03, 2.5}),
		{
			Provider: Gemini, Name: "gemini-3.1-flash-lite", ContextTokens: 1 << 20, OutputTokens: 65536,
			Price: Price{.25, .025, 1.5}, Effort: effortLow, Retires: "2027-05-07",
		},
		pro,
		flash("gemini-4-argon", Price{2, .1, 10}),
		flash("gemini-flash-latest", Price{.75, .075, 3.75}),
		flash("gemini-flash-lite-latest", Price{.3, .03, 2.5}),
		{
			Provider: Gemini, Name: "gemini-2.5-flash-lite", ContextTokens: 1 << 20, OutputTokens: 65536,
			Price: Price{.1, .01, .4}, Temperature: true, ThinkingTokens: 512,
		},
	}
}

func openaiChat() []ChatModel {
	// Above 272,000 prompt tokens a call costs twice for what it reads and half more for what it writes.
	long := func(name string, p Price) ChatModel {
		return ChatModel{
			Provider: OpenAI, Name: name, ContextTokens: 1_050_000, OutputTokens: 128_000, Price: p, Effort: effortLow,
			LongFrom: 272_000, LongPrice: Price{2 * p.Input, 2 * p.CachedInput, 1.5 * p.Output},
		}
	}
	mini := func(name string, p Price, retires string) ChatModel {
		return ChatModel{
			Provider: OpenAI, Name: name, ContextTokens: 400_000, OutputTokens: 128_000, Price: p,
			Effort: effortLow, Retires: retires,
		}
	}
	plain := func(name string, context, output int, p Price) ChatModel {
		return ChatModel{Provider: OpenAI, Name: name, ContextTokens: context, OutputTokens: output, Price: p, Temperature: true}
	}
	return []ChatModel{
		long("gpt-6-luna", Price{.1, .01, .5}),
		long("gpt-6.1-terra", Price{1, .05, 5}),
		long("gpt-6.1-sol", Price{2, .1, 10}),
		long("gpt-6-sol", Price{2, .2, 10}),
		long("gpt-6-astra", Price{10, 1, 50}),
		long("gpt-5.6-luna", Price{.2, .02, 1.2}),
		long("gpt-5.6-terra", Price{2, .2, 12}),
		long("gpt-5.6-sol", Price{4, .4, 20}),
		long("gpt-5.5", Price{5, .5, 30}),
		long("gpt-5.4", Price{2.5, .25, 15}),
		mini("gpt-5.4-mini", Price{.75, .075, 4.5}, ""),
		mini("gpt-5.4-nano", Price{.2, .02, 1.25}, "2027-04-01"),
		mini("gpt-5.2", Price{1.75, .175, 14}, ""),
		plain("gpt-4.1", 1_047_576, 32768, Price{2, .5, 8}),
		plain("gpt-4.1-mini", 1_047_576, 32768, Price{.4, .1, 1.6}),
		plain("gpt-4o", 128_000, 16384, Price{2.5, 1.25, 10}),
		plain("gpt-4o-mini", 128_000, 16384, Price{.15, .075, .6}),
	}
}

func anthropicChat() []ChatModel {
	// From Opus 4.7 on a temperature is refused; from 4.5 on thinking is asked for by effort.
	current := func(name string, p Price) ChatModel {
		return ChatModel{Provider: Anthropic, Name: name, ContextTokens: 1_000_000, OutputTokens: 128_000, Price: p, Effort: effortLow}
	}
	haiku := current("claude-haiku-5-5", Price{.1, .01, .5})
	haiku.LongFrom, haiku.LongPrice = 100_000, Price{.5, .05, 2.5}
	sonnet46 := current("claude-sonnet-4-6", Price{3, .3, 15})
	opus46 := current("claude-opus-4-6", Price{5, .5, 25})
	sonnet46.Temperature, opus46.Temperature = true, true
	return []ChatModel{
		haiku,
		current("claude-sonnet-5-5", Price{2, .1, 10}),
		current("claude-opus-5-5", Price{4, .2, 20}),
		current("claude-fable-5-1", Price{10, .25, 50}),
		current("claude-sonnet-5", Price{2, .2, 10}),
		current("claude-opus-5", Price{5, .5, 25}),
		current("claude-opus-4-8", Price{5, .5, 25}),
		current("claude-opus-4-7", Price{5, .5, 25}),
		opus46,
		sonnet46,
		{
			Provider: Anthropic, Name: "claude-haiku-4-5", ContextTokens: 200_000, OutputTokens: 64_000,
			Price: Price{1, .1, 5}, Temperature: true,
		},
	}
}

func embeddingModels() []EmbeddingModel {
	embedV3 := func(name string, dimensions int, multilingual bool) EmbeddingModel {
		return EmbeddingModel{
			Provider: Cohere, Name: name, DefaultDimensions: dimensions, Dimensions: []int{dimensions},
			MinDimensions: dimensions, MaxDimensions: dimensions, NativeDimensions: dimensions,
			InputTokens: 512, BatchTexts: 96, Price: Price{Input: .1}, Multilingual: multilingual,
		}
	}
	embedV5 := func(name string, price float64) EmbeddingModel {
		return EmbeddingModel{
			Provider: Cohere, Name: name, DefaultDimensions: 1024, Dimensions: []int{256, 512, 768, 1024, 1536, 2048},
			MinDimensions: 256, MaxDimensions: 2048, NativeDimensions: 2048,
			InputTokens: 128_000, BatchTexts: 96, Price: Price{Input: price}, Multilingual: true,
		}
	}
	return []EmbeddingModel{
		{
			Provider: Gemini, Name: "gemini-embedding-2", DefaultDimensions: 768, MinDimensions: 128, MaxDimensions: 3072,
			NativeDimensions: 3072, InputTokens: 8192, BatchTexts: 100, Price: Price{Input: .2}, Multilingual: true,
		},
		{
			Provider: Gemini, Name: "gemini-embedding-001", DefaultDimensions: 768, MinDimensions: 128, MaxDimensions: 3072,
			NativeDimensions: 3072, InputTokens: 2048, BatchTexts: 100, Price: Price{Input: .15}, Multilingual: true, Retires: "2028-05-14",
		},
		{
			Provider: OpenAI, Name: "text-embedding-3-small", DefaultDimensions: 1536, MinDimensions: 1, MaxDimensions: 1536,
			NativeDimensions: 1536, InputTokens: 8191, BatchTexts: 2048, BatchTokens: 300_000, Price: Price{Input: .02}, Multilingual: true,
		},
		{
			Provider: OpenAI, Name: "text-embedding-3-large", DefaultDimensions: 1024, MinDimensions: 1, MaxDimensions: 3072,
			NativeDimensions: 3072, InputTokens: 8191, BatchTexts: 2048, BatchTokens: 300_000, Price: Price{Input: .13}, Multilingual: true,
		},
		embedV5("embed-v5.0-pro", .12),
		embedV5("embed-v5.0-fast", .08),
		{
			Provider: Cohere, Name: "embed-v4.0", DefaultDimensions: 1024, Dimensions: []int{256, 512, 1024, 1536},
			MinDimensions: 256, MaxDimensions: 1536, NativeDimensions: 1536,
			InputTokens: 128_000, BatchTexts: 96, Price: Price{Input: .12}, Multilingual: true,
		},
		embedV3("embed-multilingual-v3.0", 1024, true),
		embedV3("embed-multilingual-light-v3.0", 384, true),
		embedV3("embed-english-v3.0", 1024, false),
		embedV3("embed-english-light-v3.0", 384, false),
	}
}
