package ingestor

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/services/ingestor/internal/dataref"
)

// Config is the operator's part.
type Config struct {
	// ExtractSlots is how many documents are read at once, each in a process
	// of its own. Default: one for each core, at most 4.
	ExtractSlots int `env:"RAGBUS_EXTRACT_SLOTS"`
	// EmbedSlots is how many batches are embedded and indexed at once. Default
	// 4; with the built-in embedder 8, of which one tenant has half.
	EmbedSlots int `env:"RAGBUS_EMBED_SLOTS"`
	// TempDir is where documents are copied to while they are read; "" is the system's.
	TempDir string `env:"RAGBUS_TEMP_DIR"`
	// DatarefPrefixes are the folders that events may point into, as file:// URLs. Default none.
	DatarefPrefixes []string `env:"RAGBUS_DATAREF_PREFIXES"`
	// MaxDocumentBytes bounds a document that an event points to. Default 100 MiB.
	MaxDocumentBytes config.Bytes `env:"RAGBUS_MAX_UPLOAD_BYTES"`
	// TenantWindow is how much work of one kind one tenant has in the queue and
	// in work: at least the slots of all replicas. Default
	// [admission.DefaultWindow]; of batches for the built-in embedder, half of
	// EmbedSlots.
	TenantWindow int `env:"RAGBUS_INGEST_TENANT_WINDOW"`
	// Alone says that no other ingestor takes this one's work: one tenant's
	// documents are then let in as they fill most of its slots, not all, and a
	// single upload of another's is read at once. Where there are several, how
	// much waits in the queue tells the cluster how many to run.
	Alone bool
	// Lease is after which a document that does not move is given to work again. Default 2 min.
	Lease time.Duration `env:"RAGBUS_INGEST_LEASE"`
	// SweepInterval is how often stalled documents are looked for, on average. Default 30 s.
	SweepInterval time.Duration `env:"RAGBUS_SWEEP_INTERVAL"`
	// ReconcileInterval is how often, at most, all documents, points and bytes are compared. Default 1 h.
	ReconcileInterval time.Duration `env:"RAGBUS_RECONCILE_INTERVAL"`
	// OrphanGrace is after which points and bytes are removed that the record
	// does not know, counted from when that was first seen. Default 24 h.
	OrphanGrace time.Duration `env:"RAGBUS_ORPHAN_GRACE"`
	// Grace is how long running work may go on after a stop. Default the worker's.
	Grace time.Duration `env:"RAGBUS_GRACE"`
	// PullWait is how long one request for work waits at the broker. Default the worker's.
	PullWait time.Duration `env:"RAGBUS_PULL_WAIT"`
}

// windows returns how much work of one tenant's is let in, documents and
// batches. A batch takes the built-in embedder seconds of a core, too long for
// others to stand behind a window of them: it has more slots than a tenant may
// fill, and serves those it works for by turns.
func (c Config) windows(e embed.Profile) (size, batches int) {
	d := c.withSlots(e)
	if c.TenantWindow == 0 && c.Alone {
		d.TenantWindow = c.AloneWindow()
	}
	if c.TenantWindow == 0 && e.Provider == embed.Builtin {
		return d.TenantWindow, max(1, d.EmbedSlots/2)
	}
	return d.TenantWindow, d.TenantWindow
}

// AloneWindow is the default of TenantWindow for whoever is alone: work for
// all children, and as much again twice to go on with.
func (c Config) AloneWindow() int { return 3 * c.WithDefaults().ExtractSlots }

// extractDeliveries is how many deliveries are taken at once: what is read,
// and deletions and changes; whoever is alone takes what one tenant may have
// in work, and others' beside it.
func (c Config) extractDeliveries() int {
	if c.Alone {
		return c.AloneWindow() + 4
	}
	return c.ExtractSlots + 2
}

// withSlots is WithDefaults for an embedder.
func (c Config) withSlots(e embed.Profile) Config {
	if c.EmbedSlots == 0 && e.Provider == embed.Builtin {
		c.EmbedSlots = 8
	}
	return c.WithDefaults()
}

// WithDefaults returns a copy with every unset field filled in.
func (c Config) WithDefaults() Config {
	if c.ExtractSlots == 0 {
		c.ExtractSlots = min(runtime.GOMAXPROCS(0), 4)
	}
	if c.EmbedSlots == 0 {
		c.EmbedSlots = 4
	}
	if c.TenantWindow == 0 {
		c.TenantWindow = admission.DefaultWindow
	}
	if c.MaxDocumentBytes == 0 {
		c.MaxDocumentBytes = 100 << 20
	}
	if c.Lease == 0 {
		c.Lease = 2 * time.Minute
	}
	if c.SweepInterval == 0 {
		c.SweepInterval = 30 * time.Second
	}
	if c.ReconcileInterval == 0 {
		c.ReconcileInterval = time.Hour
	}
	if c.OrphanGrace == 0 {
		c.OrphanGrace = 24 * time.Hour
	}
	return c
}

// Validate implements config.Validator. What is not set has its default.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(c.ExtractSlots > 0 && c.ExtractSlots <= 64, "RAGBUS_EXTRACT_SLOTS: %d is not between 1 and 64", c.ExtractSlots)
	check(c.EmbedSlots > 0 && c.EmbedSlots <= 256, "RAGBUS_EMBED_SLOTS: %d is not between 1 and 256", c.EmbedSlots)
	check(c.TenantWindow > 0 && c.TenantWindow <= admission.MaxWindow, "RAGBUS_INGEST_TENANT_WINDOW: %d is outside 1 to %d", c.TenantWindow, admission.MaxWindow)
	check(c.Lease >= time.Second, "RAGBUS_INGEST_LEASE: %s is less than a second", c.Lease)
	check(c.SweepInterval >= 100*time.Millisecond, "RAGBUS_SWEEP_INTERVAL: %s is less than 100ms", c.SweepInterval)
	check(c.ReconcileInterval >= time.Second, "RAGBUS_RECONCILE_INTERVAL: %s is less than a second", c.ReconcileInterval)
	check(c.OrphanGrace >= 10*time.Minute, "RAGBUS_ORPHAN_GRACE: %s is less than ten minutes; it has to be longer than any upload takes", c.OrphanGrace)
	check(c.Grace == 0 || c.Grace >= time.Second, "RAGBUS_GRACE: %s is less than 1s", c.Grace)
	if _, err := dataref.New(c.DatarefPrefixes); err != nil {
		problems = append(problems, fmt.Errorf("RAGBUS_DATAREF_PREFIXES: %w", err))
	}
	return errors.Join(problems...)
}
