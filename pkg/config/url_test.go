package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/config"
)

func TestAddressesAreShownWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	for raw, want := range map[config.URL]string{
		"":                                  "",
		"nats://h:4222":                     "nats://h:4222",
		"nats://u:geheim@h:4222":            "nats://[redacted]@h:4222",
		"nats://geheim@h:4222":              "nats://[redacted]@h:4222",
		"nats://u:geheim@a:1, nats://b:2":   "nats://[redacted]@a:1,nats://b:2",
		"https://h/v1?key=geheim&x=y":       "https://h/v1?[redacted]",
		"https://h/v1#geheim":               "https://h/v1#[redacted]",
		"u:geheim@h:4222":                   "[redacted]",
		"nats://u:gehe/im@h":                "[redacted]",
		"nats://u:gehe%im@h":                "[redacted]",
		"nats://u:12,geheim@h:4222":         "[redacted]",
		"nats://u:geheim,12@h:4222":         "[redacted]",
		"nats://127.0.0.1:4222,localhost:5": "nats://127.0.0.1:4222,localhost:5",
		"qdrants://h:6334/prefix":           "qdrants://h:6334/prefix",
	} {
		text, err := json.Marshal(struct{ U config.URL }{raw})
		if err != nil || string(text) != `{"U":"`+want+`"}` {
			t.Errorf("%s, %v; want %s", text, err, want)
		}
		all := fmt.Sprintf("%s %v %+v %#v %q %s", raw, raw, struct{ U config.URL }{raw}, raw, raw, raw.LogValue())
		if raw.String() != want || strings.Contains(all, "geheim") {
			t.Errorf("%s: shown as %s, %s", want, raw, all)
		}
		if raw.Reveal() != string(raw) {
			t.Errorf("%s is not what was set", want)
		}
	}
}

func TestShapesOfAddresses(t *testing.T) {
	t.Parallel()
	for raw, want := range map[config.URL]string{
		"":                             "",
		"nats://u:geheim@h:4222":       "",
		"nats://a:1,tls://b:2":         "",
		"xyz":                          "not a whole URL; use nats:// or tls://host:port",
		"nats://":                      "not a whole URL",
		"http://u:geheim@h":            `the scheme "http" is not known`,
		"nats://a:1,http://b":          `the scheme "http" is not known`,
		"nats://u:geheim@h:port":       "not a URL; use",
		"nats://u:geheim@h:70000":      "port is not in",
		"u:geheim@h:4222":              "not a whole URL",
		"nats://user:geh%eim@host:422": "percent-encode",
	} {
		err := raw.Check("nats", "tls")
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geh")) {
			t.Errorf("%s: %v; want %q", raw, err, want)
		}
	}
}
