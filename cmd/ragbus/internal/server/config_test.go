package server

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/config"
)

// TestNoSettingShowsASecret sets everything that may hold one by its name, and
// so also finds what is added without a type that hides it.
func TestNoSettingShowsASecret(t *testing.T) {
	t.Parallel()
	list, _ := Settings(nil)
	set := config.Vars{}
	for _, s := range list {
		for _, word := range []string{"URL", "ENDPOINT", "KEY", "SECRET"} {
			if strings.Contains(s.Name, word) {
				set[s.Name] = "nats://u:geheim@h:4222/?key=geheim"
			}
		}
	}
	list, err := Settings(set)
	shown, jsonErr := json.Marshal(list)
	if jsonErr != nil || len(set) < 12 {
		t.Fatalf("%d settings, %v", len(set), jsonErr)
	}
	if strings.Contains(string(shown), "geheim") || err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%s\n%v", shown, err)
	}
}
