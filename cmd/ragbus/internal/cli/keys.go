package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// keyPage is how many keys are read at a time.
const keyPage = 500

// issuedKey is what `keys create --json` prints: the only time that the credential is shown.
type issuedKey struct {
	// Bearer is the credential.
	Bearer string `json:"key"`
	access.Key
}

func (a *app) keysCommand(o Operator) *cobra.Command {
	c := &cobra.Command{
		Use: "keys", Short: "Make, list and revoke API keys",
		Long: `API keys say who calls a server with RAGBUS_AUTH=keys: on behalf of which tenant, as which owner, with which
principals, and what the caller may do. These commands work on the database itself, with the settings of the server
(RAGBUS_DATABASE_URL, or RAGBUS_DATA_DIR of ` + "`ragbus serve`" + `), which may run meanwhile. A server knows a new key at once,
and a revoked one no more within five seconds.`,
		Example: "  ragbus keys create --name laptop --scopes chat,documents:write\n  RAGBUS_API_KEY=rb_… ragbus ask \"how long does probation last?\"",
		RunE:    onlyWith("create, ls and revoke"),
	}
	c.AddCommand(a.keysCreate(o), a.keysList(o), a.keysRevoke(o))
	return c
}

func (a *app) keysCreate(o Operator) *cobra.Command {
	var (
		k       access.Key
		scopes  []string
		expires string
	)
	c := &cobra.Command{
		Use: "create", Short: "Make a key and print it, once",
		Long: `Makes a key and prints it on standard output; nothing keeps it, so it cannot be shown again. Scopes are chat, documents:read,
documents:write (which includes reading), events, and admin (which includes all). Without principals a key sees what is
open to everyone in its tenant.`,
		Example: "  ragbus keys create --name ci --tenant acme --scopes events --expires 90d\n" +
			"  ragbus keys create --name portal --principals group:staff --requests-per-minute 600 --tokens-per-day 2000000 --json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			var err error
			if k.Scopes, err = access.ParseScopes(scopes); err != nil {
				return UsageError{err}
			}
			if k.ExpiresAt, err = parseExpiry(expires, now); err != nil {
				return UsageError{err}
			}
			key, digest, bearer, err := access.Issue(k, now)
			if err != nil {
				return UsageError{err}
			}
			err = o.Keys(cmd.Context(), true, func(ctx context.Context, keys access.Keys) error { return keys.Create(ctx, key, digest) })
			if err != nil {
				return err
			}
			if !a.json {
				fmt.Fprintf(a.io.Err, "key %s (%s) of the tenant %s may %s; this is the only time that it is shown:\n", key.ID, key.Name, key.Tenant, key.Scopes)
			}
			return a.print(issuedKey{bearer, key}, func(w io.Writer) { fmt.Fprintln(w, bearer) })
		},
	}
	f := c.Flags()
	f.StringVar(&k.Name, "name", "", "what people know it by (required)")
	f.StringVar(&k.Tenant, "tenant", corpus.DefaultTenant, "whose documents it is for")
	f.StringVar(&k.Owner, "owner", "", "who owns the conversations begun with it (default: the key itself)")
	f.StringSliceVar(&k.Principals, "principals", nil, "as whom it sees documents with an acl, e.g. user:ann,group:staff")
	f.StringSliceVar(&scopes, "scopes", []string{string(access.Chat), string(access.DocumentsRead)}, "what it may do")
	f.StringVar(&expires, "expires", "", "when it expires: a time from now such as 12h or 90d, or a date such as 2027-01-31 (default: never)")
	f.IntVar(&k.Limits.RequestsPerMinute, "requests-per-minute", 0, "how many requests it may make a minute; 0 is no limit")
	f.Int64Var(&k.Limits.TokensPerDay, "tokens-per-day", 0, "how many tokens of models it may spend a day, UTC; 0 is no limit")
	return c
}

// parseExpiry reads a time from now (12h, 90d), a date, which is its
// beginning in UTC, or a time of RFC 3339. Empty is never.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		const most = 100 * 366
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= most {
			return now.AddDate(0, 0, n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			if !at.After(now) {
				return time.Time{}, fmt.Errorf("--expires: %s is in the past", text)
			}
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("--expires: %q is neither a time from now such as 12h or 90d nor a date such as 2027-01-31", text)
}

func (a *app) keysList(o Operator) *cobra.Command {
	var tenant string
	c := &cobra.Command{
		Use: "ls", Short: "List keys, never their secrets", Example: "  ragbus keys ls --tenant acme", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := []access.Key{}
			err := o.Keys(cmd.Context(), false, func(ctx context.Context, keys access.Keys) error {
				for after := ""; ; {
					page, err := keys.List(ctx, tenant, after, keyPage)
					if err != nil || len(page) == 0 {
						return err
					}
					list = append(list, page...)
					after = page[len(page)-1].ID
				}
			})
			if err != nil {
				return err
			}
			now := time.Now()
			return a.print(list, func(w io.Writer) {
				table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "ID\tSTATE\tNAME\tTENANT\tOWNER\tSCOPES\tEXPIRES\tLAST USED")
				for _, k := range list {
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, keyState(k, now), k.Name, k.Tenant, k.Owner, k.Scopes, day(k.ExpiresAt), day(k.LastUsedAt))
				}
				_ = table.Flush()
			})
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "only this tenant's")
	return c
}

func keyState(k access.Key, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	}
	return "valid"
}

// day shows a time to the minute, and none as a dash.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func (a *app) keysRevoke(o Operator) *cobra.Command {
	var tenant string
	c := &cobra.Command{
		Use: "revoke ID", Short: "End a key for good; servers know within five seconds", Example: "  ragbus keys revoke 4d7x2qk5m3abcdef", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Whoever pastes the whole key means its id.
			id := args[0]
			if strings.HasPrefix(id, "rb_") {
				if parts := strings.SplitN(id, "_", 3); len(parts) > 1 {
					id = parts[1]
				}
			}
			if corpus.CheckToken("id", id) != nil {
				return UsageError{errors.New("this is not the id of a key; `ragbus keys ls` shows them")}
			}
			var k access.Key
			err := o.Keys(cmd.Context(), false, func(ctx context.Context, keys access.Keys) (err error) {
				k, err = keys.Revoke(ctx, tenant, id)
				return err
			})
			if err != nil {
				return err
			}
			return a.print(k, func(w io.Writer) { fmt.Fprintf(w, "%s (%s) is revoked\n", k.ID, k.Name) })
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "only when it is this tenant's")
	return c
}
