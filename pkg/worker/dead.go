package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Headers of a dead letter: its story. The message's own headers are kept
// beside them, those of the server excepted.
const (
	HeaderDeadStream   = "Rag-Dead-Stream"
	HeaderDeadSubject  = "Rag-Dead-Subject"
	HeaderDeadConsumer = "Rag-Dead-Consumer"
	HeaderDeadSequence = "Rag-Dead-Sequence"
	HeaderDeadAttempts = "Rag-Dead-Attempts"
	HeaderDeadClass    = "Rag-Dead-Class"
	HeaderDeadCode     = "Rag-Dead-Code"
	// HeaderDeadMessage is fit for a stranger, HeaderDeadReason for operators only.
	HeaderDeadMessage = "Rag-Dead-Message"
	HeaderDeadReason  = "Rag-Dead-Reason"
	// HeaderDeadStored and HeaderDeadTime say when the message was stored and when it was given up.
	HeaderDeadStored = "Rag-Dead-Stored"
	HeaderDeadTime   = "Rag-Dead-Time"
	// HeaderDeadWorker is the worker's name and host.
	HeaderDeadWorker = "Rag-Dead-Worker"
	// HeaderDeadTruncated is the size of a body that had no room beside the story.
	HeaderDeadTruncated = "Rag-Dead-Truncated"
)

// HeaderDeadPrefix begins the names of all headers of the story.
const HeaderDeadPrefix = "Rag-Dead-"

// Headers that a message gets when it is taken out of its dead letter and
// tried again. They stay with it, also in another letter.
const (
	// HeaderRedrives counts how often.
	HeaderRedrives = "Rag-Redrives"
	// HeaderFirstStored is when the message was stored for the first time.
	HeaderFirstStored = "Rag-First-Stored"
)

// buriedReason begins the reason with which a buried message is ended, and
// tells the server's advisory of it from that of a message which somebody
// else ended.
const buriedReason = "buried: "

// storyText bounds each text in a dead letter's headers.
const storyText = 300

// storyRoom is what a story may need beside the message that it is told of.
const storyRoom = 4096

// hookTries is how many deliveries beyond the limit a burial may need for its
// hook before the message is ended without it. The dead letter is stored by then.
const hookTries = 20

// DeadLetterID returns the message id of a dead letter: the same for every
// worker that buries the same message, so that there is one letter. A stream
// in memory counts from 1 again after a restart: the time when the message was
// stored tells it from an earlier one at the same place.
func DeadLetterID(stream, consumer string, sequence uint64, stored time.Time) string {
	return "dead." + stream + "." + consumer + "." + strconv.FormatUint(sequence, 10) + "." + strconv.FormatInt(stored.UnixNano(), 36)
}

// bury stores the dead letter, tells the route's hook and ends the message,
// in this order: whatever happens in between, a later delivery does the rest.
// On an error the delivery is given back.
func (j *job) bury(ctx context.Context, cause error) error {
	err := j.buryIn(ctx, cause)
	if err == nil {
		return nil
	}
	return errors.Join(err, nak(j.w.nc, j.msg, retryDelay(j.info.Attempt, j.w.cfg, drawEvenly)))
}

func (j *job) buryIn(ctx context.Context, cause error) error {
	code, message := fault.Public(cause)
	letter := j.letter(cause, code, message)
	store, cancel := context.WithTimeout(ctx, j.w.cfg.SettleTimeout)
	defer cancel()
	if _, err := j.w.letters.Store(store, letter); err != nil {
		return fmt.Errorf("store the dead letter: %w", err)
	}
	if err := j.tell(ctx, Burial{
		Class: fault.Of(cause), Code: code, Message: message, Attempts: j.info.Attempt, Err: cause,
	}); err != nil && !j.buriedTooOften() {
		return fmt.Errorf("tell of the burial: %w", err)
	}
	end, cancel := context.WithTimeout(ctx, j.w.cfg.SettleTimeout)
	defer cancel()
	return confirm(end, j.w.nc, j.msg, wireTerm+buriedReason+code)
}

func (j *job) buriedTooOften() bool { return j.info.Attempt > j.limits.MaxAttempts+hookTries }

// tell calls the hook, when there is one and the event is known, and
// publishes what it returns.
func (j *job) tell(ctx context.Context, b Burial) error {
	if j.route.buried == nil || j.event.Data == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, j.w.cfg.SettleTimeout)
	defer cancel()
	d := delivery{event: j.event, attempt: j.attempt(), storedAt: j.stored, deadline: time.Now().Add(j.w.cfg.SettleTimeout)}
	events, err := protect(func() ([]event.Event, error) { return j.route.buried(ctx, d, b) })
	if err != nil {
		return err
	}
	return j.w.publish(ctx, events)
}

// letter returns the dead letter of this delivery.
func (j *job) letter(cause error, code, message string) *nats.Msg {
	return deadLetter(j.msg, story{
		stream: j.info.Stream, consumer: j.info.Consumer, sequence: j.info.Sequence, attempts: j.info.Attempt,
		class: fault.Of(cause), code: code, message: message, reason: cause.Error(), stored: j.stored, worker: j.w.place,
	}, j.w.nc.MaxPayload())
}

// story is what a dead letter tells beside the message.
type story struct {
	stream, consumer string
	sequence         uint64
	attempts         int
	class            fault.Class
	code, message    string
	reason           string
	stored           time.Time
	worker           string
}

// deadLetter returns the letter of a message: its bytes and headers and the
// story. The body is left out when it has no room beside the story.
func deadLetter(m *nats.Msg, s story, maxPayload int64) *nats.Msg {
	h := nats.Header{}
	for key, values := range maps.All(m.Header) {
		if !strings.HasPrefix(strings.ToLower(key), "nats-") {
			h[key] = values
		}
	}
	set := func(key, value string) { h[key] = []string{storyLine(value)} }
	h[event.HeaderMsgID] = []string{DeadLetterID(s.stream, s.consumer, s.sequence, s.stored)}
	set(HeaderDeadStream, s.stream)
	set(HeaderDeadSubject, m.Subject)
	set(HeaderDeadConsumer, s.consumer)
	set(HeaderDeadSequence, strconv.FormatUint(s.sequence, 10))
	set(HeaderDeadAttempts, strconv.Itoa(s.attempts))
	set(HeaderDeadClass, s.class.String())
	set(HeaderDeadCode, s.code)
	set(HeaderDeadMessage, s.message)
	set(HeaderDeadReason, s.reason)
	set(HeaderDeadStored, s.stored.UTC().Format(time.RFC3339Nano))
	set(HeaderDeadTime, time.Now().UTC().Format(time.RFC3339Nano))
	set(HeaderDeadWorker, s.worker)
	letter := &nats.Msg{Subject: broker.DeadPrefix + m.Subject, Header: h, Data: m.Data}
	if maxPayload > 0 && int64(m.Size()+storyRoom) > maxPayload {
		set(HeaderDeadTruncated, strconv.Itoa(len(m.Data)))
		letter.Data = nil
	}
	return letter
}

// storyLine makes a text fit for a header: one line, valid UTF-8, not long.
func storyLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
	if len(s) <= storyText {
		return s
	}
	cut := storyText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// Again returns the headers with which a message is published once more: its
// own, without the story of a dead letter and what the server is told by them,
// under another message id, and with what is left of its deadline, at least a
// second, as the time after which the server drops it. No deadline is zero.
func Again(header nats.Header, id string, deadline, now time.Time) nats.Header {
	h := nats.Header{}
	for key, values := range header {
		if !strings.HasPrefix(key, HeaderDeadPrefix) && !strings.HasPrefix(strings.ToLower(key), "nats-") {
			h[key] = values
		}
	}
	h[event.HeaderMsgID] = []string{id}
	if !deadline.IsZero() {
		left := (deadline.Sub(now) + time.Second - 1).Truncate(time.Second)
		h[event.HeaderTTL] = []string{strconv.Itoa(int(max(left, time.Second)/time.Second)) + "s"}
	}
	return h
}
