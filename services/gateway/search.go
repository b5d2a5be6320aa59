package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// foundPassages is event.SearchResult with the passages left as they came.
type foundPassages struct {
	Passages json.RawMessage `json:"passages"`
	Timings  json.RawMessage `json:"timings"`
	Problem  *event.Problem  `json:"problem"`
}

// searchResult is the answer of POST /v1/search.
type searchResult struct {
	Query    string          `json:"query"`
	Passages json.RawMessage `json:"passages"`
	Timings  json.RawMessage `json:"timings"`
}

func (r *request) search() error {
	ask, err := r.decodeSearch()
	if err != nil {
		return err
	}
	found, err := r.s.ask(r.ctx, ask)
	if err != nil {
		return err
	}
	if len(found.Passages) == 0 || string(found.Passages) == "null" {
		found.Passages = json.RawMessage("[]")
	}
	if len(found.Timings) == 0 {
		found.Timings = json.RawMessage("{}")
	}
	return r.json(http.StatusOK, searchResult{Query: ask.Query, Passages: found.Passages, Timings: found.Timings})
}

func (r *request) decodeSearch() (event.Search, error) {
	ask := event.Search{Tenant: r.who.Tenant, Principals: r.who.Principals, Limit: 8, Mode: "hybrid"}
	body, err := r.jsonBody()
	if err != nil {
		return ask, err
	}
	_, err = decodeObject(body, field{"query", &ask.Query}, field{"limit", &ask.Limit}, field{"collections", &ask.Collections},
		field{"filter", &ask.Filter}, field{"mode", &ask.Mode})
	if err != nil {
		return ask, err
	}
	if err := checkText("query", ask.Query); err != nil {
		return ask, err
	}
	if ask.Limit < 1 || ask.Limit > 100 {
		return ask, fault.Invalidf("invalid_limit", "limit is a whole number from 1 to 100").WithField("limit")
	}
	if !slices.Contains([]string{"hybrid", "keyword", "dense"}, ask.Mode) {
		return ask, fault.Invalidf("invalid_mode", "mode is hybrid, keyword or dense").WithField("mode")
	}
	return ask, checkCollections(ask.Collections)
}

// ask sends a search to any retriever and waits for its answer.
func (s *Service) ask(ctx context.Context, ask event.Search) (foundPassages, error) {
	var found foundPassages
	ctx, cancel := context.WithTimeout(ctx, s.cfg.SearchTimeout)
	defer cancel()
	ask.Deadline = time.Now().Add(s.cfg.SearchTimeout).UTC()
	data, err := json.Marshal(s.deps.Signer.SignSearch(ask))
	if err != nil {
		return found, fault.As(fault.Permanent, fmt.Errorf("encode the search: %w", err))
	}
	m := nats.NewMsg(event.SearchSubject(ask.Tenant))
	m.Data = data
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(m.Header))
	answer, err := s.nats.RequestMsgWithContext(ctx, m)
	if err != nil {
		return found, searchFault(ctx, err)
	}
	if err := json.Unmarshal(answer.Data, &found); err != nil {
		return found, fault.As(fault.Transient, fmt.Errorf("decode the search result: %w", err))
	}
	if p := found.Problem; p != nil {
		if fault.ParseClass(p.Class) == fault.Throttled {
			return found, fault.Throttledf(time.Duration(p.RetryAfterMS)*time.Millisecond, p.Code, "%s", p.Message)
		}
		return found, fault.New(fault.ParseClass(p.Class), p.Code, p.Message).WithField(p.Field)
	}
	return found, nil
}

func searchFault(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fault.Transientf("retriever_unavailable", "no retriever is running; try again").WithCause(err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("search: %w", context.Cause(ctx))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fault.Transientf("deadline_exceeded", "the search took longer than its deadline").WithCause(err)
	}
	return fault.Transientf("broker_unavailable", "the message broker cannot be reached").WithCause(err)
}
