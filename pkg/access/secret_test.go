package access

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/config"
)

const (
	oneSecret   = "one secret of the bus, long enough"
	otherSecret = "other secret of the bus, long too."
)

func TestTheSecretOfTheBusComesFromTheSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text    string
		secrets int
		bad     bool
	}{
		"none":             {"", 0, false},
		"one":              {oneSecret, 1, false},
		"two":              {" " + oneSecret + " , " + otherSecret, 2, false},
		"too short":        {"short", 0, true},
		"one is too short": {oneSecret + ",short", 0, true},
	} {
		cfg := BusConfig{Secret: config.Secret(strings.ReplaceAll(c.text, "bus, ", "bus "))}
		err := cfg.Validate()
		if (err != nil) != c.bad || err != nil && (!strings.Contains(err.Error(), "RAGBUS_BUS_SECRET") || strings.Contains(err.Error(), "short,")) {
			t.Errorf("%s: %v", name, err)
		}
		s, err := cfg.Signer()
		if (err != nil) != c.bad || s != nil && len(s.secrets) != c.secrets || c.secrets > 0 && s == nil {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if s, err := NewSigner(); err == nil {
		t.Errorf("a signer without a secret: %+v", s)
	}
}

func TestWhoHasToHaveASecret(t *testing.T) {
	t.Parallel()
	for auth, missing := range map[string]bool{"": false, AuthNone: false, AuthKeys: true, AuthJWT: true} {
		if err := (BusConfig{}).Missing(auth); (err != nil) != missing {
			t.Errorf("%q: %v", auth, err)
		}
		if err := (BusConfig{Secret: oneSecret}).Missing(auth); err != nil {
			t.Errorf("%q with one: %v", auth, err)
		}
	}
}

func TestASecretIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bus.secret")
	first, err := KeptSecret(path)
	if err != nil || len(first.Reveal()) < MinSecret {
		t.Fatalf("%d bytes, %v", len(first.Reveal()), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := KeptSecret(path)
	if err != nil || again != first {
		t.Errorf("another one: %v", err)
	}
	other, err := KeptSecret(filepath.Join(t.TempDir(), "bus.secret"))
	if err != nil || other == first {
		t.Errorf("the same in another place: %v", err)
	}
	if err := os.WriteFile(path, []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KeptSecret(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged one: %v", err)
	}
	if _, err := KeptSecret(filepath.Join(t.TempDir(), "none", "bus.secret")); err == nil {
		t.Error("a directory that is not there")
	}
}
