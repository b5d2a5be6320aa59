package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// terminalWrite bounds a write that must outlive the request it belongs to.
const terminalWrite = 5 * time.Second

// maxReplays bounds how often a question that never began may be asked again
// under one Idempotency-Key.
const maxReplays = 32

// ask is a decoded POST /v1/chat.
type ask struct {
	question       string
	conversationID string
	collections    []string
	filter         corpus.Filter
	stream         bool
	background     bool
	deadline       time.Duration
	key            string
}

func (r *request) postChat() error {
	in, err := r.decodeChat()
	if err != nil {
		return err
	}
	if err := r.afford(); err != nil {
		return err
	}
	if in.background && !in.stream {
		return r.askInBackground(in)
	}
	taken := r.s.chats
	if in.stream {
		taken = r.s.streams
	}
	tenant := r.who.Tenant
	if err := taken.take(tenant); err != nil {
		return err
	}
	a, err := r.begin(in)
	if err != nil {
		taken.give(tenant)
		return err
	}
	if in.stream {
		r.stream(a, streamOptions{done: func() { taken.give(tenant) }})
		return nil
	}
	defer taken.give(tenant)
	defer a.close()
	a.elsewhere = r.s.readers.enter(a.id())
	peer := r.peer()
	body, err := a.whole(r.ctx, func() error {
		if peer != nil && peer.gone() {
			return errReaderGone
		}
		return nil
	})
	r.left(a, err)
	if err != nil {
		return chatError{err, a.id()}
	}
	return r.raw(http.StatusOK, body)
}

func (r *request) askInBackground(in ask) error {
	turn, first, err := r.acceptQuestion(in)
	if err != nil {
		return err
	}
	if !turn.Answer.Status.Terminal() {
		// Nobody listens, but the frames are kept for whoever comes to read them.
		if err := r.sendQuestion(in, turn, first); err != nil {
			return err
		}
	}
	return r.accepted(chatPath(turn.Question.ID), shownAnswer(r.s.asItStands(r.ctx, turn.Answer)))
}

func chatPath(id string) string { return "/v1/chat/" + id }

func (r *request) decodeChat() (ask, error) {
	in := ask{deadline: r.s.cfg.ChatDeadline}
	body, err := r.jsonBody()
	if err != nil {
		return in, err
	}
	var deadline *int64
	_, err = decodeObject(body, field{"question", &in.question}, field{"conversation_id", &in.conversationID},
		field{"collections", &in.collections}, field{"filter", &in.filter}, field{"stream", &in.stream},
		field{"background", &in.background}, field{"deadline_ms", &deadline})
	if err != nil {
		return in, err
	}
	if err := checkText("question", in.question); err != nil {
		return in, err
	}
	if in.conversationID != "" {
		if err := corpus.CheckToken("conversation_id", in.conversationID); err != nil {
			return in, err
		}
	}
	if err := checkCollections(in.collections); err != nil {
		return in, err
	}
	if deadline != nil {
		in.deadline = time.Duration(*deadline) * time.Millisecond
		if *deadline < minChatDeadline.Milliseconds() || *deadline > maxChatDeadline.Milliseconds() {
			return in, fault.Invalidf("invalid_deadline", "deadline_ms is a whole number from %d to %d",
				minChatDeadline.Milliseconds(), maxChatDeadline.Milliseconds()).WithField("deadline_ms")
		}
	}
	in.stream = in.stream || r.c.Accepts(fiber.MIMEApplicationJSON, mimeEventStream) == mimeEventStream
	in.key, err = r.idempotencyKey()
	return in, err
}

// digest identifies what was asked, to tell a repetition from a clash.
func (in ask) digest() string {
	data, err := json.Marshal([]any{in.question, in.conversationID, in.collections, in.filter})
	if err != nil { // strings and numbers that came from JSON: it cannot fail
		data = []byte(in.question)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// acceptQuestion puts the question on record. A repetition under the same
// Idempotency-Key is the chat that it was the first time; but one that failed
// before any work began may be asked again under its key, as a new chat.
func (r *request) acceptQuestion(in ask) (turn conversation.Turn, first bool, err error) {
	now := r.s.now().UTC()
	q := conversation.Question{
		Caller: r.caller(), ConversationID: in.conversationID, Digest: in.digest(), Text: in.question,
		AskedAt: now, Deadline: now.Add(in.deadline),
	}
	for n := range maxReplays {
		q.ID = corpus.NewID()
		if in.key != "" {
			q.ID = corpus.DeriveID("chat/key", r.who.Tenant, r.who.Owner, in.key, strconv.Itoa(n))
		}
		turn, first, err = r.s.deps.Conversations.Accept(r.ctx, q)
		if err != nil || first || !neverBegan(turn.Answer) {
			return turn, first, err
		}
	}
	return turn, false, fault.Throttledf(time.Minute, "queue_full", "this question was refused too often under its Idempotency-Key")
}

// Codes of chats that failed before their question reached a worker.
const (
	codeQueueFull  = "queue_full"
	codeBrokerAway = "broker_unavailable"
)

func neverBegan(a conversation.Answer) bool {
	return a.Status == conversation.Failed && a.Error != nil && (a.Error.Code == codeQueueFull || a.Error.Code == codeBrokerAway)
}

// begin puts a question on record and on the broker and returns its answer to be read.
func (r *request) begin(in ask) (*answer, error) {
	turn, first, err := r.acceptQuestion(in)
	if err != nil {
		return nil, err
	}
	a := r.s.newAnswer(r.caller(), turn, r.started)
	if turn.Answer.Status.Terminal() {
		if !in.stream {
			return a, nil
		}
		// From where one who resumes it reads it, so that they count alike.
		if err := a.resume(r.ctx); err != nil {
			return nil, chatError{err, a.id()}
		}
		return a, nil
	}
	// Expected before published, so that no frame can be missed.
	if first {
		a.listen()
		if !in.background {
			r.s.readers.asked(a.id(), turn.Question.Deadline)
		}
	}
	if err := r.sendQuestion(in, turn, first); err != nil {
		a.close()
		return nil, err
	}
	if !first {
		if err := a.replay(r.ctx); err != nil {
			return nil, chatError{err, a.id()}
		}
	}
	return a, nil
}

// republishAfter is when a question that still has no answer is published
// again by its repetition, lest whoever accepted it died before they could.
// It is well after they succeeded or gave up: the frames go to whoever
// published first, and a living one waits for them.
const republishAfter = 15 * time.Second

// sendQuestion publishes a question that is new, or perhaps never was published.
func (r *request) sendQuestion(in ask, turn conversation.Turn, first bool) error {
	if first {
		if err := r.publishQuestion(in, turn); err != nil {
			return r.refused(turn, err)
		}
		return nil
	}
	if r.s.now().Sub(turn.Question.AskedAt) < republishAfter {
		return nil
	}
	// The broker takes the same event once, so this is harmless.
	if err := r.publishQuestion(in, turn); err != nil {
		r.s.log.LogAttrs(r.ctx, slog.LevelWarn, "a repeated question was not published again", slog.String("chat_id", turn.Question.ID), slog.Any("error", err))
	}
	return nil
}

// publishQuestion sends a question to the retrievers.
func (r *request) publishQuestion(in ask, turn conversation.Turn) error {
	q := turn.Question
	e := event.New(q.Tenant, q.AskedAt, event.ChatAsked{
		ID: q.ID, ConversationID: q.ConversationID, Owner: q.Owner, Account: r.who.Account, Principals: r.who.Principals, Question: q.Text,
		Collections: in.collections, Filter: in.filter, Followup: turn.Seq > 1, Stream: in.stream, Background: in.background,
		AskedAt: q.AskedAt,
	})
	e.ReplyTo, e.Deadline = r.s.hub.Subject(q.ID), q.Deadline
	return r.s.deps.Publisher.Publish(r.ctx, r.s.deps.Signer.Sign(e))
}

// refused fails a chat at once whose question the broker did not take, so
// that nothing waits for it, and returns what the asker is told.
func (r *request) refused(turn conversation.Turn, err error) error {
	q := turn.Question
	code, message := fault.Public(err)
	if code != codeQueueFull {
		code, message = codeBrokerAway, "the message broker cannot be reached"
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), terminalWrite)
	defer cancel()
	failed := ended(turn, conversation.Failed, &conversation.Problem{Code: code, Message: message}, r.s.now())
	if _, finishErr := r.s.deps.Conversations.Finish(ctx, q.Caller, failed); finishErr != nil {
		r.s.log.LogAttrs(ctx, slog.LevelWarn, "a refused question is left to the sweeper", slog.String("chat_id", q.ID), slog.Any("error", finishErr))
	}
	r.s.readers.answered(q.ID)
	if code == codeQueueFull {
		err = fault.Throttledf(r.s.queue.after(r.ctx), code, "%s", message).WithCause(err)
	}
	return chatError{fmt.Errorf("ask: %w", err), q.ID}
}

// ended returns the terminal answer of a turn that got none from a worker.
func ended(turn conversation.Turn, status conversation.Status, p *conversation.Problem, now time.Time) conversation.Answer {
	a := turn.Answer
	a.ID, a.ConversationID, a.CreatedAt = turn.Question.ID, turn.Question.ConversationID, turn.Question.AskedAt
	a.Status, a.Error, a.Grounded = status, p, false
	a.Timings.TotalMS = float64(now.Sub(turn.Question.AskedAt).Microseconds()) / 1000
	return shownAnswer(a)
}

func tooLate() *conversation.Problem {
	return &conversation.Problem{Code: "deadline_exceeded", Message: fmt.Sprintf("there was no answer before the deadline; "+
		"ask again with a longer deadline_ms (up to %d), in the background if that is too long to wait", maxChatDeadline.Milliseconds())}
}

// shownAnswer returns the answer with lists where it has none.
func shownAnswer(a conversation.Answer) conversation.Answer {
	if a.Citations == nil {
		a.Citations = []conversation.Citation{}
	}
	if len(a.Sources) == 0 {
		a.Sources = json.RawMessage("[]")
	}
	return a
}

func (r *request) turn() (conversation.Turn, error) {
	id, err := r.idParam()
	if err != nil {
		return conversation.Turn{}, err
	}
	return r.s.deps.Conversations.Get(r.ctx, r.caller(), id)
}

func (r *request) getChat() error {
	turn, err := r.turn()
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, shownAnswer(r.s.asItStands(r.ctx, turn.Answer)))
}

// asItStands returns the answer as running when something was told of it. That
// is not on record: it would cost every question a write for a state that ends
// within seconds. A question that is asked for one object is told nothing of.
func (s *Service) asItStands(ctx context.Context, a conversation.Answer) conversation.Answer {
	if a.Status != conversation.Queued {
		return a
	}
	if kept, err := s.framesKept(ctx, a.ID); err == nil && kept {
		a.Status = conversation.Running
	}
	return a
}

// cancelChat ends a chat at once. One that has its answer keeps it.
func (r *request) cancelChat() error {
	turn, err := r.turn()
	if err != nil {
		return err
	}
	if turn.Answer.Status.Terminal() {
		return r.json(http.StatusOK, shownAnswer(turn.Answer))
	}
	stored, err := r.s.cancelWork(r.ctx, r.caller(), turn)
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, shownAnswer(stored))
}

// streamChat reads an answer again, or on, on whichever gateway.
func (r *request) streamChat() error {
	last, err := lastEventID(r.c.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	turn, err := r.turn()
	if err != nil {
		return err
	}
	tenant := r.who.Tenant
	if err := r.s.streams.take(tenant); err != nil {
		return err
	}
	a := r.s.newAnswer(r.caller(), turn, r.started)
	if err := a.resume(r.ctx); err != nil {
		r.s.streams.give(tenant)
		return chatError{err, a.id()}
	}
	r.stream(a, streamOptions{last: last, done: func() { r.s.streams.give(tenant) }})
	return nil
}

// lastEventID reads the header by which a reader says how far it got; 0 when there is none.
func lastEventID(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || strconv.Itoa(n) != text {
		return 0, fault.Invalidf("invalid_last_event_id", "Last-Event-ID is not one that this server gave").WithField("Last-Event-ID")
	}
	return n, nil
}
