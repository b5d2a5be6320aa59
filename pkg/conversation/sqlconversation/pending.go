package sqlconversation

import (
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/recent"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// pendingHalf bounds each half of what is remembered: about 2,000 questions of
// the usual length. Those that are forgotten are read.
const pendingHalf = 2 << 20

// pendingWeight is what a turn weighs beside its texts.
const pendingWeight = 400

// pendingTurns remembers the turns that this process accepted and that have
// no answer yet, where marks tell whether they still have none. It is safe
// for concurrent use.
type pendingTurns struct {
	*recent.Cache[pendingKey, pendingTurn]
}

type pendingKey struct {
	conversation.Caller
	id string
}

type pendingTurn struct {
	question conversation.Question
	seq      int64
	mark     sqldb.Mark
}

func newPendingTurns() *pendingTurns {
	return &pendingTurns{recent.New(pendingHalf, func(_ pendingKey, p pendingTurn) int {
		q := &p.question
		return pendingWeight + 2*(len(q.Tenant)+len(q.Owner)+len(q.ID)) + len(q.ConversationID) + len(q.Digest) + len(q.Text)
	})}
}

// put remembers a turn that was accepted after mark was taken.
func (p *pendingTurns) put(t conversation.Turn, mark sqldb.Mark) {
	if mark != 0 {
		p.Put(pendingKey{t.Question.Caller, t.Question.ID}, pendingTurn{question: t.Question, seq: t.Seq, mark: mark})
	}
}

func (p *pendingTurns) get(marks *sqldb.Marks, c conversation.Caller, id string) (conversation.Turn, bool) {
	t, ok := p.Get(pendingKey{c, id})
	if !ok || !marks.Hold(t.mark, c.Tenant, id) {
		return conversation.Turn{}, false
	}
	return conversation.Turn{Question: t.question, Answer: pending(t.question), Seq: t.seq}, true
}
