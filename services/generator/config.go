package generator

import (
	"errors"
	"fmt"
	"time"
)

// Config is what an operator may set. The zero value works.
type Config struct {
	// Name tells this process from its replicas, in dead letters.
	Name string
	// Slots is how many questions are answered at once. Default 256: a slot waits
	// for a model nearly all of the time, and a question without one waits for the
	// end of another's answer before its own begins.
	Slots int `env:"RAGBUS_GENERATOR_SLOTS"`
	// Timeout is how long one attempt may take. Default 2 min.
	Timeout time.Duration `env:"RAGBUS_GENERATOR_TIMEOUT"`
	// MaxAttempts is after how many deliveries a question is given up. Default 3.
	MaxAttempts int `env:"RAGBUS_GENERATOR_ATTEMPTS"`
	// Grace is how long running answers may go on after a stop. Default 20 s.
	Grace time.Duration `env:"RAGBUS_GRACE"`
	// AnswerTokens bounds an answer. Default 2,048.
	AnswerTokens int `env:"RAGBUS_ANSWER_TOKENS"`
	// Temperature is that of the model, 0 to 2. Default 0.1; set a negative one for the provider's own default.
	Temperature *float64 `env:"RAGBUS_ANSWER_TEMPERATURE"`
	// Coalesce is how long a piece of text may wait for the next to share a
	// frame, as long as few answers are under way. Default 20 ms.
	Coalesce time.Duration
}

// WithDefaults returns a copy with every unset field filled in.
func (c Config) WithDefaults() Config {
	set(&c.Name, "generator")
	set(&c.Slots, 256)
	set(&c.Timeout, 2*time.Minute)
	set(&c.MaxAttempts, 3)
	set(&c.Grace, 20*time.Second)
	set(&c.AnswerTokens, 2048)
	set(&c.Temperature, new(0.1))
	set(&c.Coalesce, 20*time.Millisecond)
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every setting that cannot work. What is not set has its default.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(c.Slots > 0 && c.Slots <= 4096, "RAGBUS_GENERATOR_SLOTS: %d is not between 1 and 4096", c.Slots)
	check(c.Timeout > 0, "RAGBUS_GENERATOR_TIMEOUT: %s is not positive", c.Timeout)
	check(c.MaxAttempts > 0, "RAGBUS_GENERATOR_ATTEMPTS: %d is less than 1", c.MaxAttempts)
	check(c.Grace >= time.Second, "RAGBUS_GRACE: %s is less than 1s", c.Grace)
	check(c.AnswerTokens >= 64, "RAGBUS_ANSWER_TOKENS: %d is less than 64", c.AnswerTokens)
	check(*c.Temperature <= 2, "RAGBUS_ANSWER_TEMPERATURE: %g is more than 2", *c.Temperature)
	check(c.Coalesce > 0 && c.Coalesce <= time.Second, "coalescing takes %s; use up to 1s", c.Coalesce)
	return errors.Join(problems...)
}
