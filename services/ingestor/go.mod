module github.com/ragbus/ragbus/services/ingestor

go 1.26.0

require github.com/ragbus/ragbus/pkg v0.0.0

require (
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/ledongthuc/pdf v0.0.0-20260907135840-6c8c28e0e8a0 // indirect
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/ragbus/ragbus/pkg => ../../pkg
