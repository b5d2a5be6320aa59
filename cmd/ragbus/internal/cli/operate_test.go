package cli

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/reconcile"
)

// operator has a broker whose streams differ and a database whose password is wrong.
type operator struct{}

func (operator) Topology() (broker.Topology, error) {
	return broker.NewTopology(broker.TopologyConfig{}), nil
}
func (operator) ApplyTopology(context.Context) error { return nil }
func (operator) VerifyTopology(context.Context) error {
	return errors.New("stream RAG_CHAT is missing")
}

func (operator) Migrate(context.Context) error {
	return fault.Invalidf("denied", "RAGBUS_DATABASE_URL: the password is refused")
}
func (operator) Reindex(context.Context) (documents, points int, err error) { return 3, 150, nil }

// Verify finds one thing that can be mended and, in a library without a repair, one that cannot.
func (operator) Verify(_ context.Context, repair bool) (reconcile.Report, error) {
	d := reconcile.Difference{Kind: reconcile.PointsMissing, Tenant: "default", Document: "handbook", What: "3 of 5 points"}
	if repair {
		d.Mended, d.Done = true, "it is indexed again from its stored texts (1 events)"
		return reconcile.Report{Documents: 7, Points: 120, Differences: []reconcile.Difference{d}}, nil
	}
	other := reconcile.Difference{Kind: reconcile.BytesMissing, Tenant: "default", Document: "letter", What: "12 bytes"}
	return reconcile.Report{Documents: 7, Points: 120, Differences: []reconcile.Difference{d, other}, Notes: []string{"bytes elsewhere"}}, nil
}

func TestAnOperatorsWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args      string
		out, errs string
		code      int
	}{
		{"topology apply", "applied\n", "", ExitOK},
		{"topology apply --json", `"status": "applied"`, "", ExitOK},
		{"topology verify", "", "RAG_CHAT is missing", ExitError},
		{"topology print", "  consumer retriever takes [rag.chat.v1.asked.*], acknowledged within 10s\n", "", ExitOK},
		{"topology print --json", `"RAG_FRAMES"`, "", ExitOK},
		{"migrate", "", "the password is refused", ExitUsage},
		{"reindex", "3 documents, 150 chunks\n", "", ExitOK},
		{"reindex --json", `"points": 150`, "", ExitOK},
		{"verify", "bytes missing          1       0\n", "", ExitError},
		{"verify", "3 of 5 points", "", ExitError},
		{"verify --json", `"kind": "points_missing"`, "", ExitError},
		{"verify --repair", "indexed again from its stored texts", "", ExitOK},
		{"topology", "Available Commands", "", ExitOK},
		{"topology foo", "", `unknown command "foo" for "ragbus topology"; it has apply, verify and print`, ExitUsage},
		{"verify everything", "", "unknown command", ExitUsage},
		{"reindex now", "", "unknown command", ExitUsage},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			out, errs, code := command(t, false, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) {
				t.Errorf("exit code %d\n%s\n%s", code, out, errs)
			}
		})
	}
}
