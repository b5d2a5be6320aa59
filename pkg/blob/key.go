package blob

import (
	"strings"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

const root = "documents/"

// Key returns where the bytes of one upload are: documents/<tenant>/<document>/<upload>.
// All three are tokens ([corpus.CheckToken]), so that no key leaves its place.
func Key(tenant, document, upload string) (string, error) {
	prefix, err := Prefix(tenant, document)
	if err != nil {
		return "", err
	}
	if err := corpus.CheckToken("upload", upload); err != nil {
		return "", err
	}
	return prefix + upload, nil
}

// Prefix returns what the keys of all uploads of a document begin with.
func Prefix(tenant, document string) (string, error) {
	if err := corpus.CheckToken("tenant", tenant); err != nil {
		return "", err
	}
	if err := corpus.CheckToken("document", document); err != nil {
		return "", err
	}
	return root + tenant + "/" + document + "/", nil
}

// checkKey refuses what [Key] does not make.
func checkKey(key string) error {
	parts := strings.Split(key, "/")
	if len(parts) == 4 {
		made, err := Key(parts[1], parts[2], parts[3])
		if err == nil && made == key {
			return nil
		}
	}
	return fault.Invalidf("invalid_blob_key", "the key is not documents/<tenant>/<document>/<upload>")
}

// checkPrefix refuses a prefix that could match a part of a name.
func checkPrefix(prefix string) error {
	if !strings.HasSuffix(prefix, "/") {
		return fault.Invalidf("invalid_blob_key", "the prefix does not end with a slash")
	}
	parts := strings.Split(strings.TrimSuffix(prefix, "/"), "/")
	if parts[0]+"/" != root || len(parts) > 3 {
		return fault.Invalidf("invalid_blob_key", "the prefix is not documents/<tenant>/<document>/, or a beginning of it")
	}
	for _, p := range parts {
		if err := corpus.CheckToken("prefix", p); err != nil {
			return err
		}
	}
	return nil
}

// gocloud's file bucket reads "__0x<hex>__" in a file's name as an escaped
// character, and a token may hold just that. A dot, which no token holds,
// breaks it up.
const (
	tokenMark  = "__0x"
	storedMark = "__.0x"
)

func toStored(key string) string   { return strings.ReplaceAll(key, tokenMark, storedMark) }
func fromStored(key string) string { return strings.ReplaceAll(key, storedMark, tokenMark) }
