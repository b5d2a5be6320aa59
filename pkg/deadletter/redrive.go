package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
)

// Documents is the part of the catalog that a redrive needs.
type Documents interface {
	Document(ctx context.Context, tenant, id string) (corpus.Document, error)
	Retry(ctx context.Context, scope corpus.Scope, id string) (corpus.Document, error)
}

// Chats is the part of the record of conversations that a redrive needs.
type Chats interface {
	Get(ctx context.Context, c conversation.Caller, id string) (conversation.Turn, error)
}

// Redriver tries given up work again.
type Redriver struct {
	Letters   *Store
	Documents Documents
	Chats     Chats
	// Publisher stores the work; it must wait until the broker has it.
	Publisher *broker.Publisher
	// Unwell returns the parts that are known not to work, with the public
	// reason: "llm", "embedder", "vector_store", "database", "blob_store".
	// What is not known is not in it.
	Unwell func(ctx context.Context) map[string]string
	// Now is the clock.
	Now func() time.Time
}

// Outcome says what a redrive did.
type Outcome string

// The outcomes.
const (
	// Redriven: the work is in its queue again and the letter is gone.
	Redriven Outcome = "redriven"
	// Obsolete: there is nothing to do any more, and the letter is gone.
	Obsolete Outcome = "obsolete"
)

// Result is what became of one letter.
type Result struct {
	Letter  Letter
	Outcome Outcome
	// Redrives is how often the work was taken out of dead letters, this time included.
	Redrives int
}

// Refusal says why a letter stays.
type Refusal struct {
	ID      string
	Code    string
	Message string
}

// Report is what became of a batch.
type Report struct {
	Redriven, Obsolete, Refused, Failed int
	// Refusals explains those that stay, refused and failed ones.
	Refusals []Refusal
	// Next continues the series; "" when it is done.
	Next string
}

// Redrive puts the work of one letter back into its queue, under a message id
// of its own that is the same however often the request is repeated, and then
// removes the letter. A document starts anew, as POST …/retry does it, and
// loses its error. Work that its document has left behind is [Obsolete].
//
// It is refused, with an Invalid fault: dead_letter_expired past the
// deadline; dead_letter_truncated without its bytes; dead_letter_answered
// when the chat has its answer, if only a failure; and unless forced
// dead_letter_unreadable, for what could not be decoded, and
// dead_letter_cause_persists, while the part that it failed at is known not
// to work. Another fault is passed on, and the letter stays.
func (r *Redriver) Redrive(ctx context.Context, tenant, id string, force bool) (Result, error) {
	l, err := r.Letters.Get(ctx, tenant, id)
	if err != nil {
		return Result{}, err
	}
	outcome, err := r.again(ctx, l, force)
	if err != nil {
		return Result{}, err
	}
	if _, err := r.Letters.erase(ctx, l.Letter); err != nil {
		return Result{}, err
	}
	result := Result{Letter: l.Letter, Outcome: outcome, Redrives: l.Redrives}
	if outcome == Redriven {
		result.Redrives++
	}
	return result, nil
}

// RedriveAll redrives the letters that q selects, as [Redriver.Redrive] does,
// up to q.Limit of those that were there at the first call of the series. It
// goes on when one is refused or fails. It ends early, with where to continue,
// when ctx is about to end.
func (r *Redriver) RedriveAll(ctx context.Context, q Query, force bool) (Report, error) {
	letters, at, err := r.Letters.batch(ctx, q)
	if err != nil {
		return Report{}, err
	}
	var out Report
	for i, l := range letters {
		if i > 0 && ending(ctx) {
			at.after, at.done = letters[i-1].sequence, false
			break
		}
		result, err := r.Redrive(ctx, q.Tenant, l.ID, force)
		code, message := fault.Public(err)
		switch {
		case err == nil && result.Outcome == Redriven:
			out.Redriven++
		case err == nil, fault.Is(err, fault.NotFound):
			out.Obsolete++ // another took it meanwhile
		case fault.Is(err, fault.Invalid):
			out.Refused++
			out.Refusals = append(out.Refusals, Refusal{ID: l.ID, Code: code, Message: message})
		default:
			out.Failed++
			out.Refusals = append(out.Refusals, Refusal{ID: l.ID, Code: code, Message: message})
		}
	}
	if !at.done {
		out.Next = at.String()
	}
	return out, nil
}

// ending reports whether there is too little time left for one more letter.
func ending(ctx context.Context) bool {
	const enough = 8 * time.Second // a publication takes up to 5 s, its surroundings rarely one
	until, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(until) < enough
}

// again puts the work back.
func (r *Redriver) again(ctx context.Context, l Full, force bool) (Outcome, error) {
	if !l.Deadline.IsZero() && !r.Now().Before(l.Deadline) {
		return "", fault.Invalidf("dead_letter_expired", "the deadline of the work has passed; nobody waits for it any more")
	}
	if l.Truncated {
		return "", fault.Invalidf("dead_letter_truncated", "the work had no room in the letter and is gone; its sender has to send it again")
	}
	e, err := l.event()
	if err != nil {
		if !force {
			return "", fault.Invalidf("dead_letter_unreadable", "the work cannot be decoded and would be given up again; force tries it all the same").WithCause(err)
		}
		return Redriven, r.resend(ctx, l)
	}
	switch d := e.Data.(type) {
	case event.ChatAsked:
		return r.chat(ctx, l, d, force)
	case event.ChatRetrieved:
		return r.chat(ctx, l, d.Asked, force)
	case event.DocumentUploaded:
		if d.Generation > 0 {
			return r.document(ctx, l, d.ID, d.Generation, force)
		}
	case event.ChunksReady:
		return r.document(ctx, l, d.ID, d.Generation, force)
	case event.DocumentDeleted:
		if d.Generation > 0 {
			return r.document(ctx, l, d.ID, d.Generation, force)
		}
	}
	if err := r.mended(ctx, l.Letter, force); err != nil {
		return "", err
	}
	return Redriven, r.resend(ctx, l)
}

// chat redrives a question that still has no answer.
func (r *Redriver) chat(ctx context.Context, l Full, asked event.ChatAsked, force bool) (Outcome, error) {
	turn, err := r.Chats.Get(ctx, conversation.Caller{Tenant: l.Tenant, Owner: asked.Owner}, asked.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return Obsolete, nil // its conversation was deleted
	case err != nil:
		return "", fmt.Errorf("look for the chat: %w", err)
	case turn.Answer.Status.Terminal():
		return "", fault.Invalidf("dead_letter_answered", "the chat has ended, with the status %s; its asker has to ask again", turn.Answer.Status)
	}
	if err := r.mended(ctx, l.Letter, force); err != nil {
		return "", err
	}
	return Redriven, r.resend(ctx, l)
}

// document redrives work on one generation of a document. A failed one is
// started anew; one that somebody has started anew since needs no more, but
// is told once more to begin, for whoever did may not have got that far.
func (r *Redriver) document(ctx context.Context, l Full, id string, generation int64, force bool) (Outcome, error) {
	doc, err := r.Documents.Document(ctx, l.Tenant, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return Obsolete, nil
	case err != nil:
		return "", fmt.Errorf("look for the document: %w", err)
	case doc.Generation == generation+1 && doc.Status == corpus.Accepted:
		return Redriven, r.restart(ctx, l, doc)
	case doc.Generation != generation:
		return Obsolete, nil
	}
	if err := r.mended(ctx, l.Letter, force); err != nil {
		return "", err
	}
	if doc.Status != corpus.Failed {
		return Redriven, r.resend(ctx, l)
	}
	scope, err := corpus.SystemScope(l.Tenant)
	if err != nil {
		return "", fmt.Errorf("look for the document: %w", err)
	}
	started, err := r.Documents.Retry(ctx, scope, id)
	if fault.Is(err, fault.Invalid) { // it is not failed any more: somebody else was quicker
		if started, err = r.Documents.Document(ctx, l.Tenant, id); err == nil && started.Generation == generation {
			return "", fault.Transientf("document_busy", "the document is being changed")
		}
	}
	if err != nil {
		return "", fmt.Errorf("start the document anew: %w", err)
	}
	return Redriven, r.restart(ctx, l, started)
}

// restart publishes the work of a document's new generation. Its identity is
// the generation's, so that it is the same work whoever starts it.
func (r *Redriver) restart(ctx context.Context, l Full, doc corpus.Document) error {
	e := event.New(l.Tenant, r.Now(), event.DocumentUploaded{ID: doc.ID, Generation: doc.Generation})
	m, err := event.Encode(e)
	if err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	return r.store(ctx, l, nats.Header(m.Header), m.Subject, m.Data)
}

// resend publishes the message as it was, under another message id.
func (r *Redriver) resend(ctx context.Context, l Full) error {
	h := worker.Again(l.header, "redrive."+l.ID+"."+strconv.Itoa(l.Redrives+1), l.Deadline, r.Now())
	return r.store(ctx, l, h, l.Subject, l.data)
}

// store publishes work with its count of redrives and its first time.
func (r *Redriver) store(ctx context.Context, l Full, h nats.Header, subject string, data []byte) error {
	h[worker.HeaderRedrives] = []string{strconv.Itoa(l.Redrives + 1)}
	if !l.FirstAt.IsZero() {
		h[worker.HeaderFirstStored] = []string{l.FirstAt.Format(time.RFC3339Nano)}
	}
	if _, err := r.Publisher.Store(ctx, &nats.Msg{Subject: subject, Header: h, Data: data}); err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	return nil
}

// mended returns nil unless a part that the work may have failed at is known not to work.
func (r *Redriver) mended(ctx context.Context, l Letter, force bool) error {
	if force {
		return nil
	}
	suspects := l.suspects()
	if len(suspects) == 0 {
		return nil
	}
	unwell := r.Unwell(ctx)
	for _, part := range suspects {
		if reason, ok := unwell[part]; ok {
			return fault.Invalidf("dead_letter_cause_persists", "%s does not work at the moment (%s); mend it first, or force", part, reason).
				WithCause(errors.New(l.Code))
		}
	}
	return nil
}
