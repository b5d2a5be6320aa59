package process

// Exit is exit, for tests.
var Exit = exit //nolint:gochecknoglobals // an alias
