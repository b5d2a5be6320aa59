package gateway

import (
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// actionACL is a change of who may see a document.
const actionACL = "document.acl"

// The outcomes of what is audited.
const (
	auditDone    = "done"
	auditRefused = "refused"
	auditFailed  = "failed"
)

// audit is one entry of the audit log: who did what to what, and what came of
// it. It always has the same fields, and audit=true to find it by:
//
//	action     document.delete, document.acl, document.retry, conversation.delete,
//	           credential.use, and the actions of other routes of the table
//	outcome    done, refused (the caller's fault) or failed (ours)
//	code       of the problem, "" when done
//	tenant, owner, key_id   the caller; "" where it is not known
//	target     what it was done to; "" where that is not one thing
//	peer       the address that the request came from, perhaps a proxy's
//	request_id as in the answer and in every other line of the request
//
// Entries hold ids and never content.
func (r *request) audit(action, target, outcome, code string) {
	r.s.log.LogAttrs(r.ctx, slog.LevelInfo, "audit", slog.Bool("audit", true), slog.String("action", action),
		slog.String("outcome", outcome), slog.String("code", code), slog.String("tenant", r.who.Tenant), slog.String("owner", r.who.Owner),
		slog.String("key_id", r.who.KeyID), slog.String("target", target), slog.String("peer", r.peerAddress()),
		slog.String("request_id", r.id))
}

// auditRoute enters what a request came to that its route, or its handler,
// wants in the audit log, and every refusal for a missing scope.
func (r *request) auditRoute(rt route, err error) {
	action := rt.action
	if r.audited != "" {
		action = r.audited
	}
	if err == nil {
		if action != "" {
			r.audit(action, r.auditTarget(), auditDone, "")
		}
		return
	}
	p := problemOf(err, r.id)
	if action == "" {
		if p.Status != http.StatusForbidden {
			return
		}
		action = rt.method + " " + rt.path
	}
	outcome := auditRefused
	if p.Status >= http.StatusInternalServerError {
		outcome = auditFailed
	}
	r.audit(action, r.auditTarget(), outcome, p.Code)
}

// auditTarget is the id in the path, or that of what the handler found the
// request to be about, when it is one.
func (r *request) auditTarget() string {
	id := r.target
	if id == "" {
		id = r.c.Params("id")
	}
	if corpus.CheckToken("id", id) != nil {
		return ""
	}
	return id
}

// auditRefusedKey enters the use of a credential that was refused. Of a key
// its id is told, which is no secret; of anything else nothing.
func (r *request) auditRefusedKey(bearer string, err error) {
	code, _ := fault.Public(err)
	id := ""
	if rest, ok := strings.CutPrefix(bearer, "rb_"); ok {
		if name, _, ok := strings.Cut(rest, "_"); ok && len(name) <= 32 && corpus.CheckToken("id", name) == nil {
			id = name
		}
	}
	r.audit("credential.use", id, auditRefused, code)
}

// auditEvent enters what an event of a pipeline asked for, when it is one of
// the things that are audited when a request asks for them. It is done when
// the event is stored; what became of it is for the ingestor's log.
func (r *request) auditEvent(e event.Event) {
	switch d := e.Data.(type) {
	case event.DocumentDeleted:
		r.audit("document.delete", d.ID, auditDone, "")
	case event.DocumentChanged:
		r.audit(actionACL, d.ID, auditDone, "")
	}
}

func (r *request) peerAddress() string {
	addr := r.c.Context().RemoteAddr().String()
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
