// Package dataref opens the documents that events point to, and only those
// below folders that the operator has named: an event's author chooses the
// reference, so without that list the server would read files for strangers.
package dataref

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Opener opens references below allowed folders. It is safe for concurrent use.
type Opener struct {
	roots []root
}

type root struct {
	dir string
}

// New returns an Opener for URL prefixes such as "file:///srv/documents".
// Other schemes, relative paths and the file system's root are refused.
func New(prefixes []string) (*Opener, error) {
	o := &Opener{}
	var problems []error
	for _, p := range prefixes {
		dir, err := localPath(p)
		if err == nil && filepath.Clean(dir) == string(filepath.Separator) {
			err = errors.New("is the whole file system; name a folder")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%q %w", p, err))
			continue
		}
		o.roots = append(o.roots, root{dir: filepath.Clean(dir)})
	}
	return o, errors.Join(problems...)
}

// Open returns the regular file that ref points to and its base name. The
// caller closes it. A reference outside the allowed folders, also by way of
// ".." or of a symbolic link, is an Invalid fault "dataref_not_allowed"; what
// does not exist, cannot exist, or is no regular file, an Invalid fault
// "dataref_not_found". It never waits for a pipe's other end.
func (o *Opener) Open(ctx context.Context, ref string) (*os.File, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("open a data reference: %w", err)
	}
	path, err := localPath(ref)
	if err != nil {
		return nil, "", fault.Invalidf("dataref_not_allowed", "the dataref %s", err).WithField("dataref")
	}
	for _, r := range o.roots {
		name, err := filepath.Rel(r.dir, filepath.Clean(path))
		if err != nil || !filepath.IsLocal(name) {
			continue
		}
		f, err := r.open(name)
		if err != nil {
			return nil, "", classify(err)
		}
		return f, filepath.Base(name), nil
	}
	return nil, "", fault.Invalidf("dataref_not_allowed", "the dataref is not below a folder of RAGBUS_DATAREF_PREFIXES").WithField("dataref")
}

// open goes through os.Root, which follows no link out of the folder.
func (r root) open(name string) (*os.File, error) {
	dir, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, fmt.Errorf("open the allowed folder: %w", err)
	}
	defer func() { _ = dir.Close() }()
	// Without waiting: a pipe would be opened only once somebody writes to it.
	// What it is can be asked of the open file alone, whose name may be another's by then.
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open below the allowed folder: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open below the allowed folder: %w", err)
	}
	return f, nil
}

// errNotRegular is the error of a folder, a pipe, a socket or a device.
var errNotRegular = errors.New("not a regular file")

func classify(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), anyOf(err, namesNothing()):
		return fault.Invalidf("dataref_not_found", "nothing is at the dataref").WithField("dataref").WithCause(err)
	case errors.Is(err, errNotRegular), anyOf(err, cannotBeRead()):
		return fault.Invalidf("dataref_not_found", "the dataref is not a regular file").WithField("dataref").WithCause(err)
	case errors.Is(err, fs.ErrPermission):
		return fault.Invalidf("dataref_not_allowed", "the server may not read the dataref").WithField("dataref").WithCause(err)
	case strings.Contains(err.Error(), "path escapes"):
		return fault.Invalidf("dataref_not_allowed", "the dataref leads out of its allowed folder").WithField("dataref").WithCause(err)
	}
	return fault.As(fault.Transient, err)
}

// namesNothing lists what a system says of a name that no file can have: too
// long, with a NUL, below a file, in a circle of links.
func namesNothing() []syscall.Errno {
	return []syscall.Errno{syscall.ENAMETOOLONG, syscall.EINVAL, syscall.ENOTDIR, syscall.ELOOP}
}

// cannotBeRead lists what a system says of what is there and is no file:
// sockets, devices that nothing drives, folders.
func cannotBeRead() []syscall.Errno {
	return []syscall.Errno{syscall.ENXIO, syscall.ENODEV, syscall.EOPNOTSUPP, syscall.EISDIR}
}

func anyOf(err error, list []syscall.Errno) bool {
	return slices.ContainsFunc(list, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

func localPath(ref string) (string, error) {
	u, err := url.Parse(ref)
	switch {
	case err != nil || u.Scheme == "":
		return "", errors.New("is not a URL; use file:///folder/name")
	case u.Scheme != "file":
		return "", fmt.Errorf("has the scheme %q; this version reads file://", u.Scheme)
	case u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path) || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("is not of the form file:///folder/name")
	}
	return u.Path, nil
}
