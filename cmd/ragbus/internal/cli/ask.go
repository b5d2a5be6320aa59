package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
)

// quoteWidth is how much of a quote is shown, in characters.
const quoteWidth = 160

// separator stands between the headings of a section's path.
const separator = " › "

func (a *app) askCommand() *cobra.Command {
	var collections []string
	var conversation string
	c := &cobra.Command{
		Use:     `ask "QUESTION"`,
		Short:   "Ask a question and print the answer with its numbered sources",
		Example: "  ragbus ask \"how many days of leave do I have?\"\n  ragbus ask --conversation 4f… \"and how many can I carry over?\"",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := map[string]any{"question": strings.Join(args, " ")}
			if len(collections) > 0 {
				request["collections"] = collections
			}
			if conversation != "" {
				request["conversation_id"] = conversation
			}
			return a.call(func(c *client.Client) error {
				answer, err := c.Chat(cmd.Context(), request, a.show)
				if err != nil {
					return err
				}
				return a.print(answer, func(w io.Writer) { a.sources(w, answer) })
			})
		},
	}
	c.Flags().StringSliceVar(&collections, "collection", nil, "collections to search (default: all)")
	c.Flags().StringVar(&conversation, "conversation", "", "id of the conversation to go on with")
	return c
}

// show prints an answer while it is written.
func (a *app) show(e client.Event) error {
	if a.json {
		return nil
	}
	switch e.Name {
	case "delta":
		var d struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return fmt.Errorf("decode a piece of the answer: %w", err)
		}
		fmt.Fprint(a.io.Out, plain(d.Text))
	case "restart":
		fmt.Fprintln(a.io.Out, a.dim("\n(the answer starts over)"))
	}
	return nil
}

// sources prints what an answer rests on, after its text.
func (a *app) sources(w io.Writer, answer client.Answer) {
	fmt.Fprintln(w)
	if answer.Error != nil {
		fmt.Fprintf(w, "\nThe question could not be answered: %s (%s)\n", line(answer.Error.Message), line(answer.Error.Code))
		return
	}
	if len(answer.Citations) > 0 {
		fmt.Fprintln(w, "\n"+a.bold("Sources"))
		for _, c := range answer.Citations {
			where := line(c.Title)
			if c.Page != nil {
				where += ", page " + strconv.Itoa(*c.Page)
			}
			fmt.Fprintf(w, "[%d] %s\n    %s\n", c.Marker, where, a.dim("“"+shorten(c.Quote, quoteWidth)+"”"))
		}
	} else if len(answer.Sources) > 0 {
		fmt.Fprintln(w, "\n"+a.bold("Closest passages"))
		for i, p := range answer.Sources[:min(3, len(answer.Sources))] {
			fmt.Fprintf(w, " %d. %s\n    %s\n", i+1, place(p), a.dim(shorten(p.Text, quoteWidth)))
		}
	}
	fmt.Fprintf(w, "\n%s\n", a.dim(fmt.Sprintf("%s, %.0f ms, conversation %s", line(answer.Model), answer.Timings.TotalMS, line(answer.ConversationID))))
}

func (a *app) searchCommand() *cobra.Command {
	var collections []string
	var limit int
	var mode string
	c := &cobra.Command{
		Use:     `search "QUERY"`,
		Short:   "Print the passages that match best",
		Example: "  ragbus search --limit 3 \"parental leave\"",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := map[string]any{"query": strings.Join(args, " "), "limit": limit, "mode": mode}
			if len(collections) > 0 {
				request["collections"] = collections
			}
			return a.call(func(c *client.Client) error {
				var found client.SearchResult
				if err := c.Do(cmd.Context(), http.MethodPost, "/v1/search", nil, request, &found); err != nil {
					return err
				}
				return a.print(found, func(w io.Writer) {
					for i, p := range found.Passages {
						fmt.Fprintf(w, "%s %s %s\n   %s\n", a.bold(strconv.Itoa(i+1)+"."), place(p), a.dim(fmt.Sprintf("(%.3f)", p.Score)), shorten(p.Text, 2*quoteWidth))
					}
					if len(found.Passages) == 0 {
						fmt.Fprintln(w, "Nothing matches.")
					}
				})
			})
		},
	}
	c.Flags().StringSliceVar(&collections, "collection", nil, "collections to search (default: all)")
	c.Flags().IntVar(&limit, "limit", 8, "how many passages")
	c.Flags().StringVar(&mode, "mode", "hybrid", "hybrid, keyword or dense")
	return c
}

// place says where a passage is from.
func place(p client.Passage) string {
	out := p.Title
	// The first heading of a document is often its title.
	if section := strings.TrimPrefix(p.Section+separator, p.Title+separator); section != "" && p.Section != "" {
		out += separator + strings.TrimSuffix(section, separator)
	}
	if p.PageStart != nil {
		out += ", page " + strconv.Itoa(*p.PageStart)
	}
	return line(out)
}
