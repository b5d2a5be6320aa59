package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/config"
)

// DefaultAddr is where a server listens when nothing else is said: this machine only.
const DefaultAddr = "127.0.0.1:8080"

// Config is the operator's part of the gateway.
type Config struct {
	// Addr is host:port to listen on. Empty: [DefaultAddr], with Port when that is set.
	Addr string `env:"RAGBUS_HTTP_ADDR"`
	// Port is the convention of hosting platforms; it counts when Addr is empty.
	Port string `env:"PORT"`
	// Auth says how callers are known: [access.AuthNone], [access.AuthKeys] or [access.AuthJWT].
	Auth string `env:"RAGBUS_AUTH" envDefault:"none"`
	// CORSOrigins are the web origins whose pages may call, exactly as browsers
	// send them; "*" alone is every one.
	CORSOrigins []string `env:"RAGBUS_CORS_ORIGINS"`

	// MaxUploadBytes bounds one uploaded document.
	MaxUploadBytes config.Bytes `env:"RAGBUS_MAX_UPLOAD_BYTES" envDefault:"100MiB"`
	// MaxUploads bounds uploads at a time; the next is answered 503.
	MaxUploads int `env:"RAGBUS_MAX_UPLOADS" envDefault:"32"`
	// TenantWindow is how much work of one kind one tenant has in the ingestion
	// queue and in work; the ingestors' is the same.
	TenantWindow int `env:"RAGBUS_INGEST_TENANT_WINDOW" envDefault:"32"`
	// MaxChats bounds questions at a time that somebody waits for.
	MaxChats int `env:"RAGBUS_MAX_CHATS" envDefault:"2048"`
	// MaxStreams bounds server-sent event streams at a time.
	MaxStreams int `env:"RAGBUS_MAX_STREAMS" envDefault:"1024"`
	// MaxWaits bounds GET /v1/documents/{id}?wait= at a time.
	MaxWaits int `env:"RAGBUS_MAX_WAITS" envDefault:"1024"`
	// MaxConnections bounds open connections.
	MaxConnections int `env:"RAGBUS_MAX_CONNECTIONS" envDefault:"8192"`

	// ChatDeadline is how long an answer may take when the caller does not say.
	ChatDeadline time.Duration `env:"RAGBUS_CHAT_DEADLINE" envDefault:"60s"`
	// SearchTimeout is how long a search may take.
	SearchTimeout time.Duration `env:"RAGBUS_SEARCH_TIMEOUT" envDefault:"10s"`
	// ReaderGrace is how long the work for a stream whose reader left goes on, waiting for them to reconnect.
	ReaderGrace time.Duration `env:"RAGBUS_READER_GRACE" envDefault:"10s"`

	// ReadTimeout bounds reading a request's header, and every pause while its body is read.
	ReadTimeout time.Duration `env:"RAGBUS_HTTP_READ_TIMEOUT" envDefault:"30s"`
	// WriteStall bounds every pause of a client that reads a response.
	WriteStall time.Duration `env:"RAGBUS_HTTP_WRITE_STALL" envDefault:"30s"`
	// IdleTimeout bounds the life of an unused keep-alive connection.
	IdleTimeout time.Duration `env:"RAGBUS_HTTP_IDLE_TIMEOUT" envDefault:"120s"`
	// UploadTimeout bounds one upload from first to last byte.
	UploadTimeout time.Duration `env:"RAGBUS_UPLOAD_TIMEOUT" envDefault:"30m"`
	// ShutdownDelay is how long the server goes on accepting after it became
	// not ready, for load balancers to notice.
	ShutdownDelay time.Duration `env:"RAGBUS_SHUTDOWN_DELAY" envDefault:"0s" envZero:"at once"`
	// ShutdownGrace is how long running requests may take after that.
	ShutdownGrace time.Duration `env:"RAGBUS_SHUTDOWN_GRACE" envDefault:"15s"`
}

// Bounds of a chat's deadline_ms.
const (
	minChatDeadline = time.Second
	maxChatDeadline = 5 * time.Minute
)

// Validate implements config.Validator: it returns all problems, joined.
func (c Config) Validate() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	switch c.Auth {
	case access.AuthNone, access.AuthKeys, access.AuthJWT:
	default:
		add("RAGBUS_AUTH: %q is not known; use %s, %s or %s", c.Auth, access.AuthNone, access.AuthKeys, access.AuthJWT)
	}
	if n, err := strconv.Atoi(c.Port); c.Addr == "" && c.Port != "" && (err != nil || n < 0 || n > 65535) {
		add("PORT: %q is not a port", c.Port)
	} else if err := checkAddr(c.ListenAddr(), c.Auth); err != nil {
		problems = append(problems, err)
	}
	for _, origin := range c.CORSOrigins {
		if origin == anyOrigin {
			if len(c.CORSOrigins) > 1 || c.Auth == access.AuthNone {
				add("RAGBUS_CORS_ORIGINS: %q stands alone, and only where callers are known: with RAGBUS_AUTH=none every page could read everything", anyOrigin)
			}
			continue
		}
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Scheme == "" || u.Scheme+"://"+u.Host != origin {
			add("RAGBUS_CORS_ORIGINS: %q is not an origin such as https://app.example.com (no path, no slash at the end)", origin)
		}
	}
	if c.MaxUploadBytes < 1<<10 || c.MaxUploadBytes > 16<<30 {
		add("RAGBUS_MAX_UPLOAD_BYTES: %s is outside 1KiB to 16GiB", c.MaxUploadBytes)
	}
	for name, n := range map[string]int{
		"RAGBUS_MAX_UPLOADS": c.MaxUploads, "RAGBUS_MAX_CHATS": c.MaxChats, "RAGBUS_MAX_STREAMS": c.MaxStreams,
		"RAGBUS_MAX_WAITS": c.MaxWaits, "RAGBUS_MAX_CONNECTIONS": c.MaxConnections,
	} {
		if n < 1 || n > 1<<20 {
			add("%s: %d is outside 1 to 1048576", name, n)
		}
	}
	if c.TenantWindow < 1 || c.TenantWindow > admission.MaxWindow {
		add("RAGBUS_INGEST_TENANT_WINDOW: %d is outside 1 to %d", c.TenantWindow, admission.MaxWindow)
	}
	if c.ChatDeadline < minChatDeadline || c.ChatDeadline > maxChatDeadline {
		add("RAGBUS_CHAT_DEADLINE: %s is outside %s to %s", c.ChatDeadline, minChatDeadline, maxChatDeadline)
	}
	for name, d := range map[string]time.Duration{
		"RAGBUS_SEARCH_TIMEOUT": c.SearchTimeout, "RAGBUS_HTTP_READ_TIMEOUT": c.ReadTimeout, "RAGBUS_HTTP_WRITE_STALL": c.WriteStall,
		"RAGBUS_HTTP_IDLE_TIMEOUT": c.IdleTimeout, "RAGBUS_UPLOAD_TIMEOUT": c.UploadTimeout, "RAGBUS_SHUTDOWN_GRACE": c.ShutdownGrace,
	} {
		if d < 100*time.Millisecond || d > 24*time.Hour {
			add("%s: %s is outside 100ms to 24h", name, d)
		}
	}
	for name, d := range map[string]time.Duration{"RAGBUS_READER_GRACE": c.ReaderGrace, "RAGBUS_SHUTDOWN_DELAY": c.ShutdownDelay} {
		if d < 0 || d > 5*time.Minute {
			add("%s: %s is outside 0s to 5m", name, d)
		}
	}
	return errors.Join(problems...)
}

// WithDefaults returns c with the default in every field that is zero. It is
// for callers that build a Config in code; config.Load applies the same ones.
func (c Config) WithDefaults() Config {
	d, err := config.Load[Config](config.Vars{})
	if err != nil {
		panic("gateway: the defaults do not validate: " + err.Error()) // a bug in this file, caught by its test
	}
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Auth == "" {
		c.Auth = d.Auth
	}
	if c.MaxUploadBytes == 0 {
		c.MaxUploadBytes = d.MaxUploadBytes
	}
	orInt(&c.MaxUploads, d.MaxUploads)
	orInt(&c.TenantWindow, d.TenantWindow)
	orInt(&c.MaxChats, d.MaxChats)
	orInt(&c.MaxStreams, d.MaxStreams)
	orInt(&c.MaxWaits, d.MaxWaits)
	orInt(&c.MaxConnections, d.MaxConnections)
	orDuration(&c.ChatDeadline, d.ChatDeadline)
	orDuration(&c.SearchTimeout, d.SearchTimeout)
	orDuration(&c.ReaderGrace, d.ReaderGrace)
	orDuration(&c.ReadTimeout, d.ReadTimeout)
	orDuration(&c.WriteStall, d.WriteStall)
	orDuration(&c.IdleTimeout, d.IdleTimeout)
	orDuration(&c.UploadTimeout, d.UploadTimeout)
	orDuration(&c.ShutdownGrace, d.ShutdownGrace)
	return c
}

// ListenAddr returns what Addr and Port mean together.
func (c Config) ListenAddr() string {
	switch {
	case c.Addr != "":
		return c.Addr
	case c.Port != "":
		host, _, _ := strings.Cut(DefaultAddr, ":")
		return net.JoinHostPort(host, c.Port)
	}
	return DefaultAddr
}

// checkAddr refuses an address that is malformed, or that strangers reach on
// a server that asks nobody who they are.
func checkAddr(addr, auth string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("RAGBUS_HTTP_ADDR: %q is not host:port", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("RAGBUS_HTTP_ADDR: %q has no port between 0 and 65535", addr)
	}
	if auth == access.AuthNone && !isLoopback(host) {
		return fmt.Errorf("RAGBUS_HTTP_ADDR: %q can be reached by other machines, but with RAGBUS_AUTH=none nobody is asked who they are; "+
			"listen on a loopback address such as 127.0.0.1:%s, or set RAGBUS_AUTH=keys and make one with `ragbus keys create`", addr, port)
	}
	return nil
}

// isLoopback reports whether only this machine reaches host.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
