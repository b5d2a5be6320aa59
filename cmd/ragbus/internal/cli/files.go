package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// errNotRegular is the error of a pipe, a socket or a device.
var errNotRegular = errors.New("not a regular file")

// files lists what the arguments name, in order, and what lies in their
// folders and is left out, with the reason.
func files(args []string) (found, skipped []string, err error) {
	for _, arg := range args {
		from := arg
		if info, err := os.Stat(arg); err == nil && info.IsDir() {
			// WalkDir does not follow a link, but whoever names one means the folder.
			from = strings.TrimRight(arg, string(filepath.Separator)) + string(filepath.Separator)
		}
		err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case path != from && strings.HasPrefix(d.Name(), "."):
				if d.IsDir() {
					return filepath.SkipDir
				}
			case d.IsDir():
			case path == from: // what is named and cannot be read is a failure, and not left out
				found = append(found, path)
			default:
				if why := leftOut(path, d); why != "" {
					skipped = append(skipped, path+": "+why)
					break
				}
				found = append(found, path)
			}
			return nil
		})
		if err != nil {
			return nil, skipped, fmt.Errorf("read %s: %w", arg, err)
		}
	}
	if len(found) == 0 {
		return nil, skipped, errors.New("no file is there")
	}
	return found, skipped, nil
}

// leftOut returns why an entry of a folder is not ingested, "" when it is. A
// link stands for the file that it leads to; one to a folder may lead in a circle.
func leftOut(path string, d fs.DirEntry) string {
	mode := d.Type()
	if mode&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return "a link that cannot be followed"
		case info.IsDir():
			return "a link to a folder; name it to ingest what is there"
		}
		mode = info.Mode()
	}
	if !mode.IsRegular() {
		return errNotRegular.Error()
	}
	return ""
}

// openFile opens a regular file and waits for nothing: a pipe without a writer
// would hold up the command, and no signal could end it.
func openFile(path string) (io.ReadCloser, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the path
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	// The name may be a pipe's by now.
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec,wrapcheck // the caller's own file; names the path
}

// documentID derives a document's id from its absolute path, so that the
// next version of the file is the next version of the document.
func documentID(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return corpus.DeriveID("file", filepath.ToSlash(path))
}
