package gateway

import (
	"slices"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// settleID settles which document an upload is, before it is entered: it may
// replace only what its sender could see, or what is for somebody whom the
// upload's own acl names, so that a pipeline need not be among the readers of
// what it feeds. Under an id that was chosen, anything else is refused. Under
// one that was derived, from the source or the bytes, the upload becomes a
// document of its owner's: a refusal would tell that somebody has the same.
//
// Looked up and entered are two steps. In between another's upload may create
// the document that this one then replaces; nothing of it is shown to the sender.
func (r *request) settleID(u *upload) error {
	derived := u.ID == ""
	if derived {
		u.ID = catalog.DocumentID(u.Upload)
	}
	known, found, err := r.living(u)
	if err != nil || !found {
		return err
	}
	if r.s.cfg.Auth != access.AuthNone {
		scope, err := corpus.NewScope(u.Tenant, slices.Concat(r.who.Principals, u.ACL)...)
		if err != nil {
			return err
		}
		if !scope.Sees(known.ACL) {
			if !derived {
				return fault.Invalidf("id_taken", "this id is that of a document that you cannot see").WithField("id")
			}
			u.ID = corpus.DeriveID("document/owner", u.Tenant, r.who.Owner, u.ID)
			if known, found, err = r.living(u); err != nil || !found {
				return err
			}
		}
	}
	if u.keyed && known.SHA256 != u.SHA256 {
		return fault.Invalidf("idempotency_key_reused", "this Idempotency-Key came before with another document")
	}
	if !slices.Equal(known.ACL, u.ACL) {
		r.audited, r.target = actionACL, u.ID
	}
	return nil
}

// living returns the document with the upload's id, if there is one that is not deleted.
func (r *request) living(u *upload) (doc corpus.Document, found bool, err error) {
	doc, err = r.s.deps.Catalog.Document(r.ctx, u.Tenant, u.ID)
	if fault.Is(err, fault.NotFound) {
		return doc, false, nil
	}
	return doc, err == nil && doc.Status != corpus.Deleted && doc.Status != corpus.Deleting, err
}
