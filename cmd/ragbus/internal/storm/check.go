package storm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
)

// checkTime bounds all checks together.
const checkTime = 10 * time.Minute

// check holds what is there against every promise.
func (s *storm) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	st, err := s.shape.stores(ctx)
	if err != nil {
		return err
	}
	defer st.close()
	r, err := st.read(ctx)
	if err != nil {
		return err
	}
	s.checkDocuments(ctx, r)
	each(s.asked.list(), func(a *asked) { s.checkChat(ctx, a) })
	if err := s.checkTurns(ctx, st); err != nil {
		return err
	}
	if err := s.checkDead(ctx, st); err != nil {
		return err
	}
	s.checkUnchanged(ctx)
	s.checkUsage(ctx)
	for _, line := range s.shape.complaints() {
		s.found.violatef(7, nil, "the broker says: %s", line)
	}
	return nil
}

// checkChat is point 3 and half of 4.
func (s *storm) checkChat(ctx context.Context, a *asked) {
	s.checkPaid(a)
	if a.id() == "" {
		s.found.count("questions that were never accepted, as far as their client knows")
		return
	}
	for _, id := range a.ids {
		one := s.clients[a.tenant].do(ctx, 0, http.MethodGet, "/v1/chat/"+id, nil)
		two := s.clients[a.tenant].do(ctx, 1, http.MethodGet, "/v1/chat/"+id, nil)
		var stored answer
		if !one.ok() || !two.ok() || one.into(&stored) != nil || !bytes.Equal(one.body, two.body) {
			s.found.violatef(3, a.history, "%s: chat %s is read as %s and %s", a, id, one, two)
			continue
		}
		s.checkStored(a, stored)
	}
}

func (s *storm) checkStored(a *asked, stored answer) {
	end := stored.Status
	switch {
	case end == "completed" && (!stored.Grounded || !strings.Contains(stored.Answer, fmt.Sprint(a.fact.year))):
		s.found.violatef(3, a.history, "%s is answered wrong: %q, grounded %t", a, stored.Answer, stored.Grounded)
	case end == "failed" && (stored.Error == nil || stored.Error.Code == "" || stored.Error.Message == ""):
		s.found.violatef(3, a.history, "%s failed without a reason", a)
	case end == "cancelled" && !a.cancelled && a.lonely < 5*time.Second:
		s.found.violatef(3, a.history, "%s is cancelled, though nobody asked for that and its reader was away for %s at most", a, a.lonely)
	case end != "completed" && end != "failed" && end != "cancelled":
		s.found.violatef(3, a.history, "%s is still %s", a, end)
	}
	if stored.Error != nil {
		end += ", " + stored.Error.Code
	}
	s.found.count("chats at the end: " + end)
	for _, t := range a.tapes {
		if t.chat != stored.ID {
			continue
		}
		switch {
		case t.done != nil && !same(*t.done, stored):
			s.found.violatef(3, a.history, "%s: the stream ended with another answer than is stored: %s", a, difference(*t.done, stored))
		case t.problem != "" && stored.Status == "completed":
			s.found.violatef(3, a.history, "%s: the stream ended with the error %s, the stored answer is %s\n  events: %s", a, t.problem, stored.Status, t)
		}
	}
	for _, whole := range a.answers {
		if whole.ID == stored.ID && !same(whole, stored) {
			s.found.violatef(3, a.history, "%s: the answer that was given is not the one that is stored: %s", a, difference(whole, stored))
		}
	}
}

// same compares answers by all that their reader sees.
func same(a, b answer) bool { return difference(a, b) == "" }

// difference says in which fields two answers differ, "" for none.
func difference(a, b answer) string {
	fields := func(v answer) map[string]json.RawMessage {
		out := map[string]json.RawMessage{}
		data, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(data, &out)
		}
		if err != nil {
			out["error"] = json.RawMessage(err.Error())
		}
		return out
	}
	one, two := fields(a), fields(b)
	var out []string
	for _, key := range slices.Sorted(maps.Keys(one)) {
		if !bytes.Equal(one[key], two[key]) {
			out = append(out, fmt.Sprintf("%s: %.1200s | %.1200s", key, one[key], two[key]))
		}
	}
	return strings.Join(out, "; ")
}

// checkPaid: the model is paid for a question once, and once more for each
// fault that can have hit it while it was answered.
func (s *storm) checkPaid(a *asked) {
	paid := s.models.payments(a.word)
	s.found.counts("model calls that were not refused", len(paid))
	if len(paid) <= 1 {
		return
	}
	s.found.counts("model calls again for the same question", len(paid)-1)
	// One disturbance of the model fails any number of calls in its time, each of which is a hit.
	const call = time.Second
	healthy := slices.DeleteFunc(slices.Clone(paid), func(at time.Time) bool { return len(s.journal.between(at, at.Add(call), hitModel)) > 0 })
	if len(healthy) <= 1 {
		return
	}
	from, to := a.from.Add(-5*time.Second), healthy[len(healthy)-1]
	hits := s.journal.between(from, to, broker.AccessGenerator, broker.AccessRetriever, hitBroker, hitDatabase, hitModel, hitDuplicates, hitEverything)
	strokes := 0
	for _, h := range hits {
		strokes += h.strokes
	}
	if len(healthy) > 1+strokes {
		for _, at := range paid {
			a.history.note(at, "the model is paid")
		}
		for _, id := range a.ids {
			a.history.addf("%s", strings.Join(append([]string{"the logs say of chat " + id + ":"}, s.shape.said(id)...), "\n  "))
		}
		s.found.violatef(4, a.history, "the model was paid %d times for %s, which faults can have hit %d times", len(healthy), a, strokes)
	}
}

// checkTurns: one key, one chat; but a question that was refused before any
// work began may be asked again under its key.
func (s *storm) checkTurns(ctx context.Context, st *stores) error {
	begun := map[string]int{}
	pattern := questPattern()
	err := st.each(ctx, "select question, status, answer from turns", func(scan func(...any) error) error {
		var question, status, text string
		if err := scan(&question, &status, &text); err != nil {
			return err
		}
		var a answer
		if status != "queued" {
			if err := json.Unmarshal([]byte(text), &a); err != nil {
				s.found.violatef(3, nil, "a stored answer of %q is %.200s", question, text)
			}
		}
		if a.Error == nil || a.Error.Code != "queue_full" && a.Error.Code != "broker_unavailable" {
			begun[pattern.FindString(question)]++
		}
		s.found.count("turns stored")
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range s.asked.list() {
		if n := begun[a.word]; n > 1 {
			s.found.violatef(3, a.history, "%s is %d chats under one key", a, n)
		}
	}
	return nil
}

// checkDead is point 5: dead letters are those that were injected.
func (s *storm) checkDead(ctx context.Context, st *stores) error {
	injected := s.shape.injected()
	seen := map[string]int{}
	stream, err := st.js.Stream(ctx, broker.StreamDead)
	if err != nil {
		return fmt.Errorf("look at the dead letters: %w", err)
	}
	info := stream.CachedInfo().State
	for seq := info.FirstSeq; seq <= info.LastSeq && info.Msgs > 0; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			continue // removed meanwhile
		}
		if _, ours := injected[string(m.Data)]; ours {
			seen[string(m.Data)]++
			continue
		}
		if err := s.otherLetter(ctx, st, m); err != nil {
			return err
		}
	}
	for body, certain := range injected {
		if n := seen[body]; n > 1 || certain && n == 0 {
			s.found.violatef(5, nil, "the injected %q is %d times among the dead letters", body, n)
		}
		s.found.count("dead letters of what was injected")
	}
	return nil
}

// otherLetter judges a dead letter that nobody injected: work that was given
// up under faults. Its owner must have been told: the question has an answer,
// the document failed with a reason, or has gone on since.
func (s *storm) otherLetter(ctx context.Context, st *stores, m *jetstream.RawStreamMsg) error {
	code, class := m.Header.Get("Rag-Dead-Code"), m.Header.Get("Rag-Dead-Class")
	story := fmt.Sprintf("%s: %s %s after %s attempts, stored %s, dead %s: %s: %.200s", m.Subject, class, code,
		m.Header.Get("Rag-Dead-Attempts"), m.Header.Get("Rag-Dead-Stored"), m.Header.Get("Rag-Dead-Time"), m.Header.Get("Rag-Dead-Reason"), m.Data)
	own := s.ownerOf(m.Data)
	gaveUp := class == "transient" || class == "throttled" || code == "attempts_exhausted" || code == "deadline_exceeded"
	if !gaveUp {
		s.found.violatef(5, own, "a dead letter that nobody injected: %s", story)
		return nil
	}
	s.found.count("dead letters of work that was given up: " + code)
	var about struct {
		ID    string `json:"id"`
		Asked struct {
			ID string `json:"id"`
		} `json:"asked"`
	}
	if err := json.Unmarshal(m.Data, &about); err != nil {
		s.found.violatef(5, own, "a dead letter without what it is about: %s", story)
		return nil //nolint:nilerr // it is told
	}
	id, query := about.ID, "select status from documents where tenant = $1 and id = $2"
	if strings.Contains(m.Subject, "rag.chat.") {
		query = "select status from turns where tenant = $1 and id = $2"
		if about.Asked.ID != "" {
			id = about.Asked.ID
		}
	}
	var status string
	if err := st.db.QueryRowContext(ctx, query, m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], id).Scan(&status); err != nil {
		return fmt.Errorf("look for the owner of a dead letter: %w", err)
	}
	if !slices.Contains([]string{"completed", "failed", "cancelled", "indexed", "deleted"}, status) {
		s.found.violatef(5, own, "the work was given up, its owner sees %s: %s", status, story)
	}
	return nil
}

// ownerOf returns the history of the document or question that a message is about.
func (s *storm) ownerOf(data []byte) *timeline {
	if word := questPattern().Find(data); word != nil {
		for _, a := range s.asked.list() {
			if a.word == string(word) {
				return a.history
			}
		}
	}
	for _, p := range s.docs.all() {
		if s.cfg.Tenants == 1 && bytes.Contains(data, []byte(`"`+p.id+`"`)) {
			return p.history
		}
	}
	return nil
}

// longestQuery tells questions from passages.
const longestQuery = 100

// maxUnchanged bounds how many documents are sent again at the end.
const maxUnchanged = 200

// checkUnchanged is the other half of point 4: what is sent again unchanged,
// and what is only described anew, embeds nothing.
func (s *storm) checkUnchanged(ctx context.Context) {
	byText, before := s.models.embeddings()
	again, passages := 0, 0
	for text, n := range byText {
		if len(text) > longestQuery {
			again, passages = again+n-1, passages+1
		}
	}
	s.found.counts("passages embedded", passages)
	s.found.counts("passages embedded again, after a fault", again)
	var list []*paper
	for _, p := range s.docs.all() {
		if p.accepted && !p.deleted && p.hostile == nil && p.hidden.IsZero() && len(p.maybe) == 0 && len(list) < maxUnchanged {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *paper) int { return a.number - b.number })
	each(list, func(p *paper) {
		c := s.clients[p.tenant]
		c.upload(ctx, 0, p, p.text)
		c.describe(ctx, 1, p, 1000)
		if d, err := c.settled(ctx, 0, p.id); err != nil || d.Status != "indexed" {
			s.found.violatef(1, p.history, "%s, sent again unchanged, is %s: %v", p.id, d.Status, err)
		}
	})
	if _, after := s.models.embeddings(); after != before {
		s.found.violatef(4, nil, "%d texts were embedded for %d documents that were sent again unchanged", after-before, len(list))
	}
	s.found.counts("documents sent again unchanged", len(list))
}

// What a process may use more than before the storm.
const (
	moreGoroutines = 60
	moreResident   = 160 << 20
)

// checkUsage is point 6.
func (s *storm) checkUsage(ctx context.Context) {
	for _, c := range s.clients {
		c.close()
	}
	// Idle connections of the storm end within seconds; but of a process that
	// does nothing Go collects the garbage every two minutes only, and gives
	// memory back after that.
	const patience = 240
	for n := 0; ; n++ {
		var over []string
		for _, u := range s.shape.usage(ctx) {
			was := s.baseline[u.name]
			if u.goroutines == 0 || u.goroutines > was.goroutines+moreGoroutines {
				over = append(over, fmt.Sprintf("%s has %d goroutines, %d before", u.name, u.goroutines, was.goroutines))
			}
			if u.resident > was.resident+moreResident {
				over = append(over, fmt.Sprintf("%s uses %d MiB, %d before", u.name, u.resident>>20, was.resident>>20))
			}
			if n == 0 {
				s.phases = append(s.phases, fmt.Sprintf("%s: %d goroutines (%d before), %d MiB (%d)", u.name, u.goroutines, was.goroutines, u.resident>>20, was.resident>>20))
			}
		}
		if len(over) == 0 {
			return
		}
		if n > patience || !pause(ctx, time.Second) {
			s.found.violatef(6, nil, "at rest, %s", strings.Join(over, "; "))
			return
		}
	}
}
