// Package weights carries all-MiniLM-L6-v2, int8, and its word pieces in the
// binary. README.md beside it says where they come from and under which
// licence; package bert describes the format.
package weights

import _ "embed" // for the directives below

// Model is the asset that bert.Parse reads. As a string it stays in the
// binary's read-only pages: it is neither copied nor counted as heap.
//
//go:embed minilm-int8.bin
var Model string

// Vocabulary is one word piece a line, its id being the number of the line.
//
//go:embed vocab.txt
var Vocabulary string
