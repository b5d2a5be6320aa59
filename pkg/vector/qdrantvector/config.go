// Package qdrantvector is the vector store on a Qdrant server, for indexes
// that outgrow one process or are shared by several.
//
// One embedding profile has one collection, behind an alias, so that a rebuilt
// one can take its place in one step ([Reindex]). A point is a chunk: its dense
// vector, its BM25 weights as a sparse vector (package lexical; the server
// multiplies by IDF), and as payload what filters read. A search asks both
// legs in one batch, with tenant, principals, collections and filters inside
// each, and fuses them with the same function as the embedded store.
//
// Qdrant changes one point in one step, but not several: a payload update of
// more than 32 points is seen half done. What is live is therefore said by one
// point for each document, its head, which also fences late writers; the mark
// on the chunks only narrows a search, which reads the heads of what it has
// found and keeps the version that the head names. See head.go and search.go.
package qdrantvector

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Defaults of the optional fields of [Config].
const (
	DefaultConnections = 4
	DefaultCallTimeout = 20 * time.Second
	DefaultGrace       = time.Second
)

const (
	defaultPort   = 6334
	defaultPrefix = "ragbus"
	tlsPort       = 443
	maxDimensions = 65536
)

// Config says where the server is and which embedding space the index holds.
type Config struct {
	// URL is qdrant://host[:port][/prefix], RAGBUS_VECTOR_URL. The port is that
	// of gRPC, 6334 unless given; the prefix begins the names of collections,
	// "ragbus" unless given. The connection is encrypted with the scheme
	// qdrants, with port 443 and for *.cloud.qdrant.io.
	URL string
	// APIKey is sent with every request, RAGBUS_QDRANT_API_KEY; "" for none.
	APIKey string
	// Dimensions of every vector.
	Dimensions int
	// ProfileKey is the embedding profile's key. Another key is another collection.
	ProfileKey string
	Logger     *slog.Logger

	// TLS for encrypted connections; nil is the system's roots and TLS 1.2 or later.
	TLS *tls.Config
	// Connections to the server; zero means [DefaultConnections].
	Connections int
	// CallTimeout bounds one request, within the caller's own deadline; zero means [DefaultCallTimeout].
	CallTimeout time.Duration
	// Grace is how long a replaced version is kept for searches that have begun:
	// sweeping waits for it. Searches that take longer look again. Zero means [DefaultGrace].
	Grace time.Duration
	// Shards and Replicas of collections that are created; zero leaves it to the server.
	Shards   uint32
	Replicas uint32
}

// Validate reports everything that is wrong with the configuration, without the key.
func (c Config) Validate() error {
	var errs []error
	if _, err := parseURL(c.URL); err != nil {
		errs = append(errs, err)
	}
	if c.Dimensions < 1 || c.Dimensions > maxDimensions {
		errs = append(errs, fmt.Errorf("qdrantvector: %d dimensions; use 1 to %d", c.Dimensions, maxDimensions))
	}
	if c.ProfileKey == "" {
		errs = append(errs, errors.New("qdrantvector: profile key is empty"))
	}
	if c.Logger == nil {
		errs = append(errs, errors.New("qdrantvector: logger is missing"))
	}
	if strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, errors.New("RAGBUS_QDRANT_API_KEY: holds a space or a character that is not ASCII"))
	}
	if c.Connections < 0 || c.Connections > 64 {
		errs = append(errs, fmt.Errorf("qdrantvector: %d connections; use 1 to 64", c.Connections))
	}
	if c.CallTimeout < 0 || c.Grace < 0 {
		errs = append(errs, errors.New("qdrantvector: a duration is negative"))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Connections == 0 {
		c.Connections = DefaultConnections
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = DefaultCallTimeout
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	return c
}

// endpoint is what a URL says.
type endpoint struct {
	host   string
	port   int
	tls    bool
	prefix string
}

// prefixPattern is what a collection's name may begin with.
const prefixPattern = `^[A-Za-z0-9_-]{1,64}$`

// CheckURL returns what is wrong with the form of [Config.URL], by its variable.
func CheckURL(s string) error {
	_, err := parseURL(s)
	return err
}

// parseURL never repeats what it was given, for there may be a password in it.
func parseURL(s string) (endpoint, error) {
	const form = "RAGBUS_VECTOR_URL: use qdrant://host:6334, or qdrants:// for an encrypted connection"
	if s == "" {
		return endpoint{}, errors.New(form)
	}
	u, err := url.Parse(s)
	if err != nil {
		return endpoint{}, errors.New(form + "; this is not a URL")
	}
	if u.Scheme != "qdrant" && u.Scheme != "qdrants" {
		return endpoint{}, fmt.Errorf("%s; the scheme %q is not known", form, u.Scheme)
	}
	if u.User != nil {
		return endpoint{}, errors.New(form + "; the key belongs in RAGBUS_QDRANT_API_KEY, not in the URL")
	}
	if u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, errors.New(form + " and nothing behind but a prefix of collection names")
	}
	e := endpoint{host: u.Hostname(), port: defaultPort, prefix: strings.Trim(u.Path, "/")}
	if p := u.Port(); p != "" {
		if e.port, err = strconv.Atoi(p); err != nil || e.port < 1 || e.port > 65535 {
			return endpoint{}, errors.New(form + "; the port is not in 1 to 65535")
		}
	}
	if e.prefix == "" {
		e.prefix = defaultPrefix
	}
	if ok, err := regexp.MatchString(prefixPattern, e.prefix); err != nil || !ok {
		return endpoint{}, errors.New(form + "; the prefix may hold up to 64 of A-Z, a-z, 0-9, _ and -")
	}
	e.tls = u.Scheme == "qdrants" || e.port == tlsPort || strings.HasSuffix(e.host, ".cloud.qdrant.io")
	if strings.Contains(e.host, ":") {
		e.host = "[" + e.host + "]"
	}
	return e, nil
}
