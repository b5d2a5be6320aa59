package retriever

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/services/retriever/internal/search"
)

// searchTimeout bounds a search whose request names no deadline.
const searchTimeout = 10 * time.Second

// answerSearches answers search requests until ctx ends, then finishes those
// that it began. A replica that has no room refuses at once: its caller is
// waiting.
func (s *Service) answerSearches(ctx context.Context) error {
	var running sync.WaitGroup
	room := make(chan struct{}, s.cfg.Searches)
	// A search that has begun is finished also when the service stops.
	work := context.WithoutCancel(ctx)
	sub, err := s.deps.JetStream.Conn().QueueSubscribe(event.SearchFilter, event.SearchQueue, func(m *nats.Msg) {
		select {
		case room <- struct{}{}:
			running.Go(func() {
				defer func() { <-room }()
				s.respond(work, m, s.search(work, m))
			})
		default:
			s.respond(work, m, failed(fault.Throttledf(time.Second, "busy", "too many searches at once; try again in a second")))
		}
	})
	if err != nil {
		return fault.As(fault.Transient, fmt.Errorf("subscribe to searches: %w", err))
	}
	closed := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(closed) })
	<-ctx.Done()
	if err = sub.Drain(); err == nil {
		select {
		case <-closed: // nothing begins after this
		case <-time.After(searchTimeout):
			err = errors.New("the subscription does not end")
		}
	}
	running.Wait()
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		return fmt.Errorf("stop answering searches: %w", err)
	}
	return nil
}

func (s *Service) search(ctx context.Context, m *nats.Msg) (out event.SearchResult) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "a search panicked", "panic", p)
			out = failed(fault.As(fault.Permanent, errors.New("panic")))
		}
	}()
	started := time.Now()
	var q event.Search
	if err := json.Unmarshal(m.Data, &q); err != nil {
		return failed(fault.Invalidf("invalid_search", "the request is not a search"))
	}
	if err := s.deps.Signer.VerifySearch(q); err != nil {
		s.log.ErrorContext(ctx, "a search was refused that no gateway vouches for", "error", err)
		// Who asked a gateway whose secret is another one is not to blame.
		return failed(fault.Transientf("retriever_unavailable", "searches cannot be answered at the moment"))
	}
	if q.Deadline.IsZero() {
		q.Deadline = started.Add(searchTimeout)
	}
	ctx, cancel := context.WithDeadline(ctx, q.Deadline)
	defer cancel()
	result, err := s.find(ctx, m.Subject, q)
	if err != nil {
		if fault.Retryable(err) {
			s.log.WarnContext(ctx, "a search failed", "error", err)
		}
		return failed(err)
	}
	return event.SearchResult{Passages: result.Passages, Timings: event.SearchTimings{
		EmbedMS: milliseconds(result.Embedding), SearchMS: milliseconds(result.Searching), TotalMS: milliseconds(time.Since(started)),
		Degraded: result.Degraded,
	}}
}

func (s *Service) find(ctx context.Context, subject string, q event.Search) (search.Result, error) {
	if subject != event.SearchSubject(q.Tenant) {
		return search.Result{}, fault.Invalidf("invalid_search", "the search is not for the tenant of its subject")
	}
	scope, err := corpus.NewScope(q.Tenant, q.Principals...)
	if err != nil {
		return search.Result{}, err
	}
	mode := vector.Mode(q.Mode)
	if err := search.CheckQuery(mode, q.Limit); err != nil {
		return search.Result{}, err
	}
	return s.searcher.Search(ctx, search.Request{
		Scope: scope, Query: q.Query, Collections: q.Collections, Filter: q.Filter, Mode: mode, Limit: q.Limit,
	})
}

func (s *Service) respond(ctx context.Context, m *nats.Msg, r event.SearchResult) {
	data, err := json.Marshal(r)
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		s.log.WarnContext(ctx, "a search result could not be sent", "error", err)
	}
}

func failed(err error) event.SearchResult {
	code, message := fault.Public(err)
	return event.SearchResult{Problem: &event.Problem{
		Class: fault.Of(err).String(), Code: code, Message: message, Field: fault.Field(err), RetryAfterMS: fault.RetryAfter(err).Milliseconds(),
	}}
}

// clip shortens an earlier answer to what a follow-up needs of it.
func clip(s string) string {
	if len(s) <= historyBytes {
		return s
	}
	cut := historyBytes
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimSpace(s[:cut]) + " …"
}
