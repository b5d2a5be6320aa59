package gateway

import (
	"encoding/json"
	"mime"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// describing is what a caller may say about a document.
type describing corpus.Description

func (d describing) check() error { return corpus.Description(d).Check() }

// parseJSONField reads a form or query field that holds JSON.
func parseJSONField(name, text string, into any) error {
	if text == "" {
		return nil
	}
	if err := checkJSON([]byte(text)); err != nil {
		return fault.Invalidf("invalid_"+name, "%s is not valid JSON", name).WithField(name).WithCause(err)
	}
	return decodeField(field{name, into}, json.RawMessage(text))
}

// mediaTypeOf returns a declared media type, when it is one. Extraction
// decides by content; this is what a download is labelled with.
func mediaTypeOf(declared string) string {
	kind, params, err := mime.ParseMediaType(declared)
	if err != nil || kind == "application/x-www-form-urlencoded" || len(declared) > 255 {
		return fiber.MIMEOctetStream
	}
	return mime.FormatMediaType(kind, params)
}
