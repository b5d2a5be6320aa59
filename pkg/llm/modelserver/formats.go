package modelserver

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/llm/anthropicllm/anthropictest"
	"github.com/ragbus/ragbus/pkg/llm/genaillm/genaitest"
	"github.com/ragbus/ragbus/pkg/llm/openaillm/openaitest"
)

// asksToWait reports whether the refusal comes with a delay.
func (a answer) asksToWait() bool {
	return a.RetryAfterS > 0 && (a.Fault == Throttle || a.Fault == Overload)
}

func (a answer) header() http.Header {
	if !a.asksToWait() {
		return nil
	}
	return http.Header{"Retry-After": {strconv.Itoa(a.RetryAfterS)}}
}

func (s *Server) openai(r openaitest.Request) openaitest.Reply {
	a := s.plan(r.Body.Prompt())
	if status := a.Fault.refusal(); status != 0 {
		kind := map[Fault][2]string{
			Throttle: {"requests", "rate_limit_exceeded"}, WrongKey: {"invalid_request_error", "invalid_api_key"},
			Overflow: {"invalid_request_error", "context_length_exceeded"}, Fail: {"server_error", "server_error"}, Overload: {"server_error", "server_error"},
		}[a.Fault]
		reply := openaitest.Refuse(status, kind[0], kind[1], "scripted: "+string(a.Fault))
		reply.Header = a.header()
		return reply
	}
	reply := openaitest.Reply{First: a.first, Pause: a.pause, HoldHeader: true, Cut: a.Fault == Cut, Hang: a.Fault == Hang}
	for _, t := range a.tokens {
		reply.Frames = append(reply.Frames, openaitest.Text(t))
	}
	switch {
	case a.Fault == Malformed:
		reply.Frames = append(reply.Frames, openaitest.Raw(notJSON))
	case a.whole:
		reason := "stop"
		if a.Fault == Block {
			reason = "content_filter"
		}
		// The end comes with the last token, not a pause later.
		end := openaitest.Finish(reason)
		if r.Body.StreamOptions != nil && r.Body.StreamOptions.IncludeUsage {
			end += openaitest.Usage(a.prompt, len(a.tokens))
		}
		reply.Frames = joined(reply.Frames, end+openaitest.Done())
	}
	return reply
}

func (s *Server) anthropic(r anthropictest.Request) anthropictest.Reply {
	a := s.plan(r.Body.Prompt())
	if status := a.Fault.refusal(); status != 0 {
		kind := map[Fault]string{
			Throttle: "rate_limit_error", WrongKey: "authentication_error", Overflow: "invalid_request_error", Fail: "api_error", Overload: "overloaded_error",
		}[a.Fault]
		message := "scripted: " + string(a.Fault)
		if a.Fault == Overflow {
			message = "prompt is too long: scripted"
		}
		reply := anthropictest.Refuse(status, kind, message)
		reply.Header = a.header()
		return reply
	}
	reply := anthropictest.Reply{First: a.first, Pause: a.pause, HoldHeader: true, Cut: a.Fault == Cut, Hang: a.Fault == Hang}
	begin := strings.Join(anthropictest.Start(a.prompt, 0, 0), "")
	for _, t := range a.tokens {
		reply.Frames = append(reply.Frames, begin+anthropictest.Text(t))
		begin = ""
	}
	switch {
	case a.Fault == Malformed:
		reply.Frames = append(reply.Frames, anthropictest.Raw("content_block_delta", notJSON))
	case a.whole:
		reason := "end_turn"
		if a.Fault == Block {
			reason = "refusal"
		}
		reply.Frames = joined(reply.Frames, begin+strings.Join(anthropictest.Stop(reason, len(a.tokens)), ""))
	}
	return reply
}

func (s *Server) gemini(r genaitest.Request) genaitest.Reply {
	var prompt strings.Builder
	for _, c := range r.Body.Contents {
		for _, p := range c.Parts {
			prompt.WriteString(p.Text + "\n")
		}
	}
	a := s.plan(prompt.String())
	if status := a.Fault.refusal(); status != 0 {
		e := map[Fault]genaitest.Error{
			Throttle: {Status: "RESOURCE_EXHAUSTED"}, WrongKey: {Status: "UNAUTHENTICATED", Reason: "API_KEY_INVALID"},
			Overflow: {Status: "INVALID_ARGUMENT", Message: "The input token count exceeds the maximum number of tokens allowed."},
			Fail:     {Status: "INTERNAL"}, Overload: {Status: "UNAVAILABLE"},
		}[a.Fault]
		e.Code = status
		if a.asksToWait() {
			e.RetryDelay = strconv.Itoa(a.RetryAfterS) + "s"
		}
		return genaitest.Reply{Status: status, Error: e}
	}
	reply := genaitest.Reply{First: a.first, Queued: true, Pause: a.pause, Cut: a.Fault == Cut, Hang: a.Fault == Hang}
	for _, t := range a.tokens {
		reply.Events = append(reply.Events, genaitest.Text(t))
	}
	switch {
	case a.Fault == Malformed:
		reply.Events = append(reply.Events, notJSON)
	case a.Fault == Block:
		reply.Events = append(reply.Events, genaitest.Blocked("SAFETY"))
	case a.whole:
		reply.Events = append(reply.Events, genaitest.Last("STOP", a.prompt, len(a.tokens), 0))
	}
	return reply
}

// joined puts the end behind the last frame.
func joined(frames []string, end string) []string {
	if len(frames) == 0 {
		return []string{end}
	}
	frames[len(frames)-1] += end
	return frames
}
