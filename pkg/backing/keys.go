package backing

import "github.com/ragbus/ragbus/pkg/config"

// Keys are the credentials and addresses of models' APIs.
type Keys struct {
	Gemini    config.Secret `env:"GEMINI_API_KEY,GOOGLE_API_KEY"`
	OpenAI    config.Secret `env:"OPENAI_API_KEY"`
	Anthropic config.Secret `env:"ANTHROPIC_API_KEY"`
	Cohere    config.Secret `env:"COHERE_API_KEY"`
	// The base URLs replace an API's address, for proxies and compatible
	// servers: Ollama, vLLM, llama.cpp and LM Studio speak OpenAI's API.
	GeminiBaseURL    config.URL `env:"RAGBUS_GEMINI_BASE_URL"`
	OpenAIBaseURL    config.URL `env:"RAGBUS_OPENAI_BASE_URL"`
	AnthropicBaseURL config.URL `env:"RAGBUS_ANTHROPIC_BASE_URL"`
	CohereBaseURL    config.URL `env:"RAGBUS_COHERE_BASE_URL"`
}
