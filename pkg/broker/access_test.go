package broker_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/fault"
)

// guarded starts a server whose one user has these permissions.
func guarded(t *testing.T, permissions string) *nats.Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("port: -1\nhost: 127.0.0.1\njetstream { store_dir: %q }\nauthorization { users = [ { user: u, password: p, %s } ] }\n", t.TempDir(), permissions)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	ns, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	conn, err := broker.Connect(t.Context(), broker.Config{URL: config.URL("nats://" + url.UserPassword("u", "p").String() + "@" + ns.Addr().String()), Name: broker.AccessGenerator})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return conn.NATS()
}

func allow(publish, subscribe []broker.Grant, more string) string {
	list := func(grants []broker.Grant) string {
		var out []string
		for _, g := range grants {
			out = append(out, fmt.Sprintf("%q", g.Subject))
		}
		return strings.Join(out, ", ")
	}
	return fmt.Sprintf("permissions: { publish: { allow: [ %s ] }, subscribe: { allow: [ %s ] } %s }", list(publish), list(subscribe), more)
}

func without(grants []broker.Grant, subject string) []broker.Grant {
	return slices.DeleteFunc(slices.Clone(grants), func(g broker.Grant) bool { return g.Subject == subject })
}

func TestMissingPermissionsAreNamed(t *testing.T) {
	t.Parallel()
	a := broker.AccessOf(broker.AccessGenerator)
	const responses = ", allow_responses: true"
	for name, c := range map[string]struct {
		permissions string
		want        []string
	}{
		"no permissions are set":  {"", nil},
		"exactly what is needed":  {allow(a.Publish, a.Subscribe, responses), nil},
		"everything":              {`permissions: { publish: ">", subscribe: ">" }`, nil},
		"one tenant":              {allow(append(without(a.Publish, "rag.chat.v1.answered.*"), broker.Grant{Subject: "rag.chat.v1.answered.acme"}), a.Subscribe, responses), nil},
		"no frames":               {allow(without(a.Publish, "rag.answer.v1.>"), a.Subscribe, responses), []string{"may not publish to rag.answer.v1.>"}},
		"no frames and no cancel": {allow(without(a.Publish, "rag.answer.v1.>"), without(a.Subscribe, "rag.cancel.v1.*"), responses), []string{"publish to rag.answer.v1.>", "subscribe to rag.cancel.v1.*"}},
		"no answers":              {allow(a.Publish, a.Subscribe, ""), []string{"allow_responses"}},
		"denied":                  {`permissions: { publish: { allow: ">", deny: "rag.dead.>" }, subscribe: ">" }`, []string{"publish to rag.dead.v1.>"}},
		"another inbox":           {allow(a.Publish, append(without(a.Subscribe, "rag.inbox.generator.>"), broker.Grant{Subject: "_INBOX.>"}), responses), []string{"rag.inbox.generator."}},
		"may not even ask":        {allow(without(a.Publish, "$SYS.REQ.USER.INFO"), a.Subscribe, responses), []string{"$SYS.REQ.USER.INFO"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := a.Check(t.Context(), guarded(t, c.permissions))
			if len(c.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}
