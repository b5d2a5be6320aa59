module github.com/ragbus/ragbus/services/generator

go 1.26.0

require github.com/ragbus/ragbus/pkg v0.0.0

replace github.com/ragbus/ragbus/pkg => ../../pkg
