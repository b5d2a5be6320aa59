package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lifecycle"
)

// deadLetter is deadletter.Letter as the API shows it.
type deadLetter struct {
	ID        string     `json:"id"`
	Stage     string     `json:"stage"`
	Kind      event.Kind `json:"kind"`
	About     *string    `json:"about"`
	Class     string     `json:"class"`
	Code      string     `json:"code"`
	Message   string     `json:"message"`
	Reason    string     `json:"reason"`
	Attempts  int        `json:"attempts"`
	Redrives  int        `json:"redrives"`
	FirstAt   *time.Time `json:"first_at"`
	DiedAt    *time.Time `json:"died_at"`
	Deadline  *time.Time `json:"deadline"`
	TraceID   *string    `json:"trace_id"`
	Worker    *string    `json:"worker"`
	Stream    string     `json:"stream"`
	Subject   string     `json:"subject"`
	EventID   *string    `json:"event_id"`
	Bytes     int        `json:"bytes"`
	Truncated bool       `json:"truncated"`
}

func shownLetter(l deadletter.Letter) deadLetter {
	return deadLetter{
		ID: l.ID, Stage: l.Stage, Kind: l.Kind, About: orNull(l.About), Class: l.Class.String(), Code: l.Code, Message: l.Message, Reason: l.Reason,
		Attempts: l.Attempts, Redrives: l.Redrives, FirstAt: timeOrNull(l.FirstAt), DiedAt: timeOrNull(l.DiedAt), Deadline: timeOrNull(l.Deadline),
		TraceID: orNull(l.TraceID), Worker: orNull(l.Worker), Stream: l.Stream, Subject: l.Subject, EventID: orNull(l.EventID),
		Bytes: l.Bytes, Truncated: l.Truncated,
	}
}

// fullLetter is a letter with what may be shown of its message.
type fullLetter struct {
	deadLetter

	Payload letterPayload `json:"payload"`
}

type letterPayload struct {
	JSON     json.RawMessage `json:"json"`
	Text     *string         `json:"text"`
	Cut      bool            `json:"cut"`
	Withheld []string        `json:"withheld"`
}

// letters are the dead letters as this service reaches them.
func (s *Service) letters() *deadletter.Redriver {
	js := s.deps.Broker.JetStream()
	return &deadletter.Redriver{
		Letters: deadletter.NewStore(js), Documents: s.deps.Catalog, Chats: s.deps.Conversations, Publisher: broker.NewPublisher(js),
		Unwell: s.unwell, Now: s.now,
	}
}

// untold ends what /health says of a part whose service is silent.
const untold = "which would tell, does not answer"

// unwell returns the parts that are known not to work: by what /health says,
// without those that only a silent service could tell about, and without
// those whose circuit lets the next call try.
func (s *Service) unwell(ctx context.Context) map[string]string {
	report := s.healthy.get(func() healthReport { return s.gatherHealth(ctx) })
	out := map[string]string{}
	for part, result := range report.Services {
		reason, ok := strings.CutPrefix(result, "unhealthy: ")
		if ok && !strings.HasSuffix(reason, untold) && report.Notes[part] != lifecycle.NextCallTries {
			out[part] = reason
		}
	}
	return out
}

// letterQuery reads a filter; given says that it selects anything.
func (r *request) letterQuery(filter map[string]string) (q deadletter.Query, given bool, err error) {
	q = deadletter.Query{
		Tenant: r.who.Tenant, Stage: filter["stage"], Kind: event.Kind(filter["kind"]), Class: filter["class"], Code: filter["code"],
	}
	if q.Class != "" && fault.ParseClass(q.Class).String() != q.Class {
		return q, false, fault.Invalidf("invalid_class", "class is transient, throttled, permanent, invalid or not_found").WithField("class")
	}
	for name, into := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		text, ok := filter[name]
		if !ok || text == "" {
			continue
		}
		if *into, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return q, false, fault.Invalidf("invalid_time", "%s is a time such as 2026-01-31T08:00:00Z", name).WithField(name)
		}
	}
	given = q.Stage != "" || q.Kind != "" || q.Class != "" || q.Code != "" || !q.Since.IsZero() || !q.Until.IsZero()
	return q, given, nil
}

// letterFilters are the names of what selects letters.
func letterFilters(more ...string) []string {
	return append([]string{"stage", "kind", "class", "code", "since", "until", "limit", "cursor"}, more...)
}

func (r *request) listDeadLetters() error {
	q, _, err := r.letterQuery(r.params)
	if err != nil {
		return err
	}
	if q.Limit, q.Cursor, err = page(r.params, "cursor"); err != nil {
		return err
	}
	letters, next, err := r.s.letters().Letters.List(r.ctx, q)
	if err != nil {
		return err
	}
	out := make([]deadLetter, len(letters))
	for i, l := range letters {
		out[i] = shownLetter(l)
	}
	return r.json(http.StatusOK, listOf(out, next))
}

func (r *request) getDeadLetter() error {
	id, err := r.idParam()
	if err != nil {
		return err
	}
	l, err := r.s.letters().Letters.Get(r.ctx, r.who.Tenant, id)
	if err != nil {
		return err
	}
	p := l.Payload()
	shown := letterPayload{JSON: p.JSON, Text: orNull(p.Text), Cut: p.Cut, Withheld: p.Withheld}
	if shown.Withheld == nil {
		shown.Withheld = []string{}
	}
	return r.json(http.StatusOK, fullLetter{deadLetter: shownLetter(l.Letter), Payload: shown})
}

// redriven is what became of one letter.
type redriven struct {
	ID       string             `json:"id"`
	Outcome  deadletter.Outcome `json:"outcome"`
	Redrives int                `json:"redrives"`
	Kind     event.Kind         `json:"kind"`
	About    *string            `json:"about"`
}

func (r *request) redriveDeadLetter() error {
	id, err := r.idParam()
	if err != nil {
		return err
	}
	force := false
	if r.c.Request().Header.ContentLength() != 0 { // a body is optional
		body, err := r.jsonBody()
		if err != nil {
			return err
		}
		if _, err := decodeObject(body, field{"force", &force}); err != nil {
			return err
		}
	}
	result, err := r.s.letters().Redrive(r.ctx, r.who.Tenant, id, force)
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, redriven{
		ID: id, Outcome: result.Outcome, Redrives: result.Redrives, Kind: result.Letter.Kind, About: orNull(result.Letter.About),
	})
}

// redriveReport is what became of a batch.
type redriveReport struct {
	Redriven   int             `json:"redriven"`
	Obsolete   int             `json:"obsolete"`
	Refused    int             `json:"refused"`
	Failed     int             `json:"failed"`
	Refusals   []letterRefusal `json:"refusals"`
	NextCursor *string         `json:"next_cursor"`
}

type letterRefusal struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (r *request) redriveDeadLetters() error {
	body, err := r.jsonBody()
	if err != nil {
		return err
	}
	var in struct {
		stage, kind, class, code, since, until, cursor string
		all, force                                     bool
	}
	limit := deadletter.MaxLimit
	if _, err := decodeObject(body, field{"stage", &in.stage}, field{"kind", &in.kind}, field{"class", &in.class}, field{"code", &in.code},
		field{"since", &in.since}, field{"until", &in.until}, field{"cursor", &in.cursor}, field{"all", &in.all}, field{"force", &in.force},
		field{"limit", &limit}); err != nil {
		return err
	}
	q, given, err := r.letterQuery(map[string]string{
		"stage": in.stage, "kind": in.kind, "class": in.class, "code": in.code, "since": in.since, "until": in.until,
	})
	if err != nil {
		return err
	}
	if limit < 1 || limit > deadletter.MaxLimit {
		return fault.Invalidf("invalid_limit", "limit is a whole number from 1 to %d", deadletter.MaxLimit).WithField("limit")
	}
	if q.Limit, q.Cursor = limit, in.cursor; !given && !in.all {
		return filterRequired()
	}
	report, err := r.s.letters().RedriveAll(r.ctx, q, in.force)
	if err != nil {
		return err
	}
	out := redriveReport{
		Redriven: report.Redriven, Obsolete: report.Obsolete, Refused: report.Refused, Failed: report.Failed,
		Refusals: make([]letterRefusal, len(report.Refusals)), NextCursor: orNull(report.Next),
	}
	for i, f := range report.Refusals {
		out.Refusals[i] = letterRefusal(f)
	}
	return r.json(http.StatusOK, out)
}

// filterRequired keeps a slip from touching every letter.
func filterRequired() error {
	return fault.Invalidf("filter_required", "name what to select (stage, kind, class, code, since, until), or say all")
}

func (r *request) deleteDeadLetter() error {
	id, err := r.idParam()
	if err != nil {
		return err
	}
	if err := r.s.letters().Letters.Remove(r.ctx, r.who.Tenant, id); err != nil {
		return err
	}
	r.c.Status(http.StatusNoContent)
	return nil
}

// removedLetters is what became of a batch.
type removedLetters struct {
	Deleted    int     `json:"deleted"`
	NextCursor *string `json:"next_cursor"`
}

func (r *request) deleteDeadLetters() error {
	params := r.params
	q, given, err := r.letterQuery(params)
	if err != nil {
		return err
	}
	if _, ok := params["limit"]; !ok {
		params["limit"] = "100"
	}
	if q.Limit, q.Cursor, err = page(params, "cursor"); err != nil {
		return err
	}
	switch params["all"] {
	case "true":
	case "", "false":
		if !given {
			return filterRequired()
		}
	default:
		return fault.Invalidf("invalid_type", "all must be true or false").WithField("all")
	}
	removed, next, err := r.s.letters().Letters.RemoveAll(r.ctx, q)
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, removedLetters{Deleted: removed, NextCursor: orNull(next)})
}
