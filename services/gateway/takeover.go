package gateway

import (
	"errors"
	"slices"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// errHidden refuses an upload that would replace what its sender may not see.
var errHidden = errors.New("gateway: the document is not its sender's to replace")

// enter records an upload as the document that it is: it may replace only what
// its sender could see, or what is for somebody whom the upload's own acl names,
// so that a pipeline need not be among the readers of what it feeds. Under an id
// that was chosen, anything else is refused. Under one that was derived, from the
// source or the bytes, the upload becomes a document of its owner's: a refusal
// would tell that somebody has the same.
func (r *request) enter(u *upload) (corpus.Document, catalog.Outcome, error) {
	sees, err := r.seesWith(u.ACL)
	if err != nil {
		return corpus.Document{}, 0, err
	}
	if u.Once, err = r.once(u); err != nil {
		return corpus.Document{}, 0, err
	}
	derived := u.ID == ""
	if derived {
		u.ID = catalog.DocumentID(u.Upload)
	}
	u.May = r.mayReplace(u, sees)
	doc, outcome, err := r.s.deps.Catalog.Accept(r.ctx, u.Upload)
	if errors.Is(err, errHidden) {
		if !derived {
			return doc, outcome, fault.Invalidf("id_taken", "this id is that of a document that you cannot see").WithField("id")
		}
		u.ID = corpus.DeriveID("document/owner", u.Tenant, r.who.Owner, u.ID)
		u.May = r.mayReplace(u, func([]string) bool { return true })
		doc, outcome, err = r.s.deps.Catalog.Accept(r.ctx, u.Upload)
	}
	if err == nil && outcome == catalog.Repeated && !sees(doc.ACL) {
		// As for whoever reads it: others may have written there since.
		return corpus.Document{}, 0, fault.NotFoundf("document_not_found", "there is no such document")
	}
	return doc, outcome, err
}

// seesWith returns which acls let the sender, or somebody whom acl names, see a document.
func (r *request) seesWith(acl []string) (func(of []string) bool, error) {
	if r.s.cfg.Auth == access.AuthNone {
		return func([]string) bool { return true }, nil
	}
	scope, err := corpus.NewScope(r.who.Tenant, slices.Concat(r.who.Principals, acl)...)
	return scope.Sees, err
}

// mayReplace returns what the record asks before an upload touches the document
// that is there, and notes what the audit log is to have.
func (r *request) mayReplace(u *upload, sees func(of []string) bool) func(corpus.Document) error {
	return func(there corpus.Document) error {
		r.audited, r.target = "", ""
		if !sees(there.ACL) {
			return errHidden
		}
		if u.keyed && there.SHA256 != u.SHA256 {
			// The record forgets keys, and has none of before it kept them.
			return fault.Invalidf("idempotency_key_reused", "this Idempotency-Key came before with another document")
		}
		if !slices.Equal(there.ACL, u.ACL) {
			r.audited, r.target = actionACL, u.ID
		}
		return nil
	}
}
