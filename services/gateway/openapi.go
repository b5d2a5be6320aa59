package gateway

import (
	_ "embed"
	"net/http"

	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// openAPIJSON is docs/openapi.yaml as JSON; TestOpenAPIIsCurrent keeps it so.
//
//go:embed openapi.json
var openAPIJSON []byte

func (r *request) openAPI() error { return r.raw(http.StatusOK, openAPIJSON) }

// scrape shows the registry to Prometheus.
func (r *request) scrape() error {
	r.quiet = true
	return adaptor.HTTPHandler(promhttp.HandlerFor(r.s.deps.Registry, promhttp.HandlerOpts{}))(r.c)
}
