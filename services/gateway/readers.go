package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
)

// readerPrefix is where a gateway asks all others whether anybody still reads
// an answer, and tells them when somebody goes on reading. A request's token follows.
const readerPrefix = "rag.reader.v1."

// judgements is how often a gateway gives its reader's grace to one who went on
// at another that says nothing any more: it is dead, or only stands still.
const judgements = 3

// readerAnswers is how long the others have to say so.
const readerAnswers = 300 * time.Millisecond

// readerSays is what a gateway that knows something answers.
type readerSays struct {
	// Reading: somebody reads here, or is being waited for.
	Reading bool `json:"reading"`
	// Foreground: the question came in here, and nobody wants its answer but its readers.
	Foreground bool `json:"foreground"`
}

// goesOn is what a gateway tells at which somebody goes on reading.
type goesOn struct {
	At string `json:"at"`
}

// readers knows who reads which answer in this process, and who went on elsewhere.
type readers struct {
	name string

	mu         sync.Mutex
	reading    map[string]int
	foreground map[string]time.Time
	// elsewhere counts, for the answers read here, who went on at other gateways.
	elsewhere map[string]int
}

func newReaders(name string) *readers {
	return &readers{name: name, reading: map[string]int{}, foreground: map[string]time.Time{}, elsewhere: map[string]int{}}
}

// enter counts one who reads, and returns how many have gone on elsewhere by
// now; leave uncounts them.
func (r *readers) enter(chat string) (elsewhere int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reading[chat]++
	return r.elsewhere[chat]
}

func (r *readers) leave(chat string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading[chat]--; r.reading[chat] <= 0 {
		delete(r.reading, chat)
		delete(r.elsewhere, chat)
	}
}

// since reports whether somebody has gone on elsewhere after so many had.
func (r *readers) since(chat string, elsewhere int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.elsewhere[chat] > elsewhere
}

// tell says that somebody goes on reading here. Who does not hear it asks.
func (r *readers) tell(nc *nats.Conn, chat string) {
	if data, err := json.Marshal(goesOn{r.name}); err == nil {
		_ = nc.Publish(readerPrefix+chat, data)
	}
}

// heard notes what another gateway tells.
func (r *readers) heard(chat string, data []byte) {
	var told goesOn
	if json.Unmarshal(data, &told) != nil || told.At == "" || told.At == r.name {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reading[chat] > 0 {
		r.elsewhere[chat]++
	}
}

// asked notes a question that is worth answering only while somebody reads.
func (r *readers) asked(chat string, deadline time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.foreground[chat] = deadline
}

// answered forgets a question.
func (r *readers) answered(chat string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.foreground, chat)
}

// expire forgets the questions whose deadline is over.
func (r *readers) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for chat, deadline := range r.foreground {
		if now.After(deadline) {
			delete(r.foreground, chat)
		}
	}
}

func (r *readers) says(chat string) readerSays {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, foreground := r.foreground[chat]
	return readerSays{Reading: r.reading[chat] > 0, Foreground: foreground}
}

// subscribe hears and answers other gateways. Who knows nothing stays silent.
func (r *readers) subscribe(nc *nats.Conn) (*nats.Subscription, error) {
	sub, err := nc.Subscribe(readerPrefix+"*", func(m *nats.Msg) {
		chat := strings.TrimPrefix(m.Subject, readerPrefix)
		if m.Reply == "" {
			r.heard(chat, m.Data)
			return
		}
		says := r.says(chat)
		if !says.Reading && !says.Foreground {
			return
		}
		if data, err := json.Marshal(says); err == nil {
			_ = m.Respond(data) // who asked has left: nobody to tell
		}
	})
	if err != nil {
		return nil, fault.As(fault.Transient, fmt.Errorf("subscribe to questions about readers: %w", err))
	}
	return sub, nil
}

// everybodySays asks all gateways, this one included.
func (r *readers) everybodySays(ctx context.Context, nc *nats.Conn, chat string) (readerSays, error) {
	var all readerSays
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return all, fmt.Errorf("subscribe for answers about readers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection is closed: nothing is left to undo
	if err := nc.PublishRequest(readerPrefix+chat, inbox, nil); err != nil {
		return all, fmt.Errorf("ask about readers: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, readerAnswers)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return all, nil
			}
			return all, fmt.Errorf("hear about readers: %w", err)
		}
		var says readerSays
		if json.Unmarshal(m.Data, &says) == nil {
			all.Reading = all.Reading || says.Reading
			all.Foreground = all.Foreground || says.Foreground
		}
	}
}

// readerLeft gives a reader whose connection broke time to come back, to any
// gateway, and then gives up the work that nobody waits for. The caller's
// entry in readers passes to it, so that others see the reader as awaited. One
// who went on at another gateway, after so many had when they came here, has
// that time again while the other is silent.
func (s *Service) readerLeft(ctx context.Context, c conversation.Caller, turn conversation.Turn, elsewhere int) {
	chat := turn.Question.ID
	wentOn := false
	for judgement := 1; ; judgement++ {
		grace := time.NewTimer(s.cfg.ReaderGrace)
		select {
		case <-grace.C:
		case <-s.stop: // readers are told to reconnect now; this is no time to judge
			grace.Stop()
			s.readers.leave(chat)
			return
		}
		wentOn = wentOn || s.readers.since(chat, elsewhere)
		s.readers.leave(chat)
		says, err := s.readers.everybodySays(ctx, s.nats, chat)
		if err != nil || says.Reading || !says.Foreground {
			return
		}
		if !wentOn || judgement == judgements {
			break
		}
		elsewhere = s.readers.enter(chat)
	}
	ctx, cancel := context.WithTimeout(ctx, terminalWrite)
	defer cancel()
	if _, err := s.cancelWork(ctx, c, turn); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "an abandoned chat goes on", slog.String("chat_id", chat), slog.Any("error", err))
		return
	}
	s.metrics.cancelled.Inc()
}
