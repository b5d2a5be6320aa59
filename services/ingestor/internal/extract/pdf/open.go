package pdf

import (
	"io"

	lib "github.com/ledongthuc/pdf"
)

// Open reads the structure of a PDF.
func Open(r io.ReaderAt, size int64, limits Limits) (*Document, error) {
	limits = limits.withDefaults()
	reader, err := lib.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	d := &Document{limits: limits, file: r, size: size, reader: reader, fonts: map[string]*font{}, fontSets: map[string]map[string]*font{}}
	d.encrypted = !reader.Trailer().Key("Encrypt").IsNull()
	err = guard(func() error {
		d.pages, err = readPages(reader.Trailer(), limits.Pages)
		return err
	})
	return d, err
}
