package e2e

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
)

// TestAStopWaitsForNobodyWhoAskedNothing: browsers and HTTP clients open
// connections ahead of need; one that never sent a byte must not hold up a stop.
func TestAStopWaitsForNobodyWhoAskedNothing(t *testing.T) {
	t.Parallel()
	s := start(t, server.Parts{Embedder: scripted(t)})
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URLs()[0], "http://"))
		must(t, err)
		defer conn.Close()
	}
	newAPI(t, s.URLs()[0]).get("/livez").want(200)
	began := time.Now()
	s.Restart(t)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("stopping and starting took %s", took)
	}
}
