module github.com/ragbus/ragbus/cmd/ragbus

go 1.26.0

require (
	github.com/ragbus/ragbus/pkg v0.0.0
	github.com/ragbus/ragbus/services/gateway v0.0.0
	github.com/ragbus/ragbus/services/generator v0.0.0
	github.com/ragbus/ragbus/services/ingestor v0.0.0
	github.com/ragbus/ragbus/services/retriever v0.0.0
)

require (
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/term v0.47.0 // indirect
)

replace (
	github.com/ragbus/ragbus/pkg => ../../pkg
	github.com/ragbus/ragbus/services/gateway => ../../services/gateway
	github.com/ragbus/ragbus/services/generator => ../../services/generator
	github.com/ragbus/ragbus/services/ingestor => ../../services/ingestor
	github.com/ragbus/ragbus/services/retriever => ../../services/retriever
)
