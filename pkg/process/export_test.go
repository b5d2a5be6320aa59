package process

// Exit is exit, for tests.
var Exit = exit //nolint:gochecknoglobals // an alias

// Due returns what follows each look at what was ever allocated, in MiB.
func Due(allocated ...uint64) []bool {
	var q quiet
	var out []bool
	for _, mib := range allocated {
		out = append(out, q.due(mib<<20))
	}
	return out
}
