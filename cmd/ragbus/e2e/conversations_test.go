package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

type (
	conversation struct {
		ID        string    `json:"id"`
		Title     string    `json:"title"`
		Turns     int       `json:"turns"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}
	message struct {
		Seq       int        `json:"seq"`
		Role      string     `json:"role"`
		ChatID    string     `json:"chat_id"`
		Content   string     `json:"content"`
		Status    string     `json:"status"`
		Grounded  *bool      `json:"grounded"`
		Reason    *string    `json:"reason"`
		Citations []citation `json:"citations"`
		Sources   []passage  `json:"sources"`
		Error     any        `json:"error"`
		CreatedAt time.Time  `json:"created_at"`
	}
)

func conversations(a api, _ Shape) {
	a.indexed("talk-facts", facts, "collection", "talks")
	var ids []string
	var chats []answer
	for i := range 3 {
		r := a.ask(map[string]any{"question": fmt.Sprintf("How tall is the lighthouse of Quellmar, asked %d times?", i), "collections": []string{"talks"}})
		ids, chats = append(ids, r.ConversationID), append(chats, r)
	}
	for i := range 2 {
		chats = append(chats, a.ask(map[string]any{
			"question": fmt.Sprintf("What do tickets for the ferry cost, asked %d times?", i), "collections": []string{"talks"}, "conversation_id": ids[0],
		}))
	}
	for _, limit := range []int{2, 100} {
		// Others talk at the same time: only our own are looked for, each once.
		var got []string
		for _, c := range all[conversation](a, "/v1/conversations", limit) {
			if slices.Contains(ids, c.ID) && !slices.Contains(got, c.ID) {
				got = append(got, c.ID)
			}
		}
		if len(got) != len(ids) {
			a.t.Errorf("pages of %d list %d of %d conversations", limit, len(got), len(ids))
		}
	}
	talk := decode[conversation](a.get("/v1/conversations/" + ids[0]).want(http.StatusOK))
	if talk.Turns != 3 || talk.Title == "" {
		a.t.Errorf("the conversation is %+v", talk)
	}
	// Messages, backwards in pages of every size, are the same six.
	for limit := 1; limit <= 7; limit++ {
		var got []message
		path := fmt.Sprintf("/v1/conversations/%s/messages?limit=%d", ids[0], limit)
		for next := path; next != ""; {
			page := decode[list[message]](a.get(next).want(http.StatusOK))
			got = append(page.Data, got...)
			next = ""
			if page.NextCursor != nil {
				next = path + "&before=" + *page.NextCursor
			}
		}
		if len(got) != 6 {
			a.t.Fatalf("pages of %d hold %d messages, not 6", limit, len(got))
		}
		for i, m := range got {
			of := []answer{chats[0], chats[3], chats[4]}[i/2]
			if m.Seq != i+1 || m.Role != []string{"user", "assistant"}[i%2] || m.ChatID != of.ID || i%2 == 1 && m.Content != of.Answer {
				a.t.Errorf("message %d in pages of %d is %+v", i, limit, m)
			}
		}
	}
	if r := a.do(http.MethodDelete, "/v1/conversations/"+ids[0], nil); r.status != http.StatusNoContent && r.status != http.StatusAccepted {
		a.t.Errorf("deleting the conversation: status %d", r.status)
	}
	a.get("/v1/conversations/"+ids[0]).problem(http.StatusNotFound, "conversation_not_found")
	a.get("/v1/conversations/"+ids[0]+"/messages").problem(http.StatusNotFound, "conversation_not_found")
	a.get("/v1/chat/"+chats[3].ID).problem(http.StatusNotFound, "chat_not_found")
	a.do(http.MethodPost, "/v1/chat", map[string]any{"question": "And now?", "conversation_id": ids[0]}).problem(http.StatusNotFound, "conversation_not_found")
	a.get("/v1/conversations/" + ids[1]).want(http.StatusOK)
}
