package postgrestest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// superuser is the role and database that a new cluster has.
const superuser = "postgres"

// cluster is a data directory and the server that runs on it.
type cluster struct {
	bin      string
	dir      string
	data     string
	port     int
	password string
	as       *syscall.Credential
	// leash is held by this process: when it ends, however it does, the
	// watchdog at the other end stops the server and removes the directory.
	leash    io.Closer
	watchdog *exec.Cmd
}

// binaries returns the directory of initdb and postgres.
func binaries(ctx context.Context) (string, error) {
	var dirs []string
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
		"/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for Postgres: %w", err)
		}
		for i := range found {
			dirs = append(dirs, found[len(found)-1-i])
		}
	}
	for _, dir := range dirs {
		if isProgram(filepath.Join(dir, "initdb")) && isProgram(filepath.Join(dir, "pg_ctl")) && isProgram(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "", errors.New("neither pg_config nor the usual directories have initdb, pg_ctl and postgres")
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// unprivileged returns as whom to run: Postgres refuses to be root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // as oneself
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: false}, nil
		}
	}
	return nil, errors.New("there is neither a user postgres nor nobody to run as")
}

// createCluster makes the directory and its contents, and the watchdog.
func createCluster(ctx context.Context) (_ *cluster, err error) {
	c := &cluster{password: rand.Text()}
	if c.bin, err = binaries(ctx); err != nil {
		return nil, err
	}
	if c.as, err = unprivileged(); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "ragbus-postgres-"); err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	c.data = filepath.Join(c.dir, "data")
	defer func() {
		if err != nil {
			c.remove()
		}
	}()
	if err := c.watch(); err != nil {
		return nil, err
	}
	secret := filepath.Join(c.dir, "password")
	if err := os.WriteFile(secret, []byte(c.password), 0o600); err != nil {
		return nil, fmt.Errorf("write password: %w", err)
	}
	if c.as != nil {
		for _, path := range []string{c.dir, secret} {
			if err := os.Chown(path, int(c.as.Uid), int(c.as.Gid)); err != nil {
				return nil, fmt.Errorf("hand over the directory: %w", err)
			}
		}
	}
	create := []string{"--pgdata", c.data, "--username", superuser, "--auth", "scram-sha-256", "--pwfile", secret, "--encoding", "UTF8", "--no-sync"}
	// Postgres 15 and later know dictionaries' order whatever the machine has.
	err = c.tool(ctx, "initdb", append(create, "--locale", "C", "--locale-provider", "icu", "--icu-locale", "en-US")...)
	if err != nil {
		if err := os.RemoveAll(c.data); err != nil {
			return nil, fmt.Errorf("empty directory: %w", err)
		}
		err = c.tool(ctx, "initdb", append(create, "--locale", "C")...)
	}
	return c, err
}

// watch starts the watchdog. It is a shell, in a session of its own, so that
// it survives whatever ends this process, and holds none of its files.
func (c *cluster) watch() error {
	const script = `cat >/dev/null; "$1/pg_ctl" stop -D "$2/data" -m immediate -t 20 >/dev/null 2>&1; rm -rf "$2"`
	cmd := exec.Command("/bin/sh", "-c", script, "watchdog", c.bin, c.dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.as}
	leash, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("make leash: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start watchdog: %w", err), leash.Close())
	}
	c.leash, c.watchdog = leash, cmd
	return nil
}

// remove stops the server, if it runs, and deletes the directory.
func (c *cluster) remove() {
	if c.watchdog != nil {
		_ = c.leash.Close()
		_ = c.watchdog.Wait()
	}
	// What the watchdog was not allowed to.
	_ = os.RemoveAll(c.dir)
}

// tool runs one of Postgres's programs as an unprivileged user.
func (c *cluster) tool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	// A file, not a pipe: the server inherits it and would keep a pipe open.
	out, err := os.CreateTemp(c.dir, name)
	if err != nil {
		return fmt.Errorf("make log: %w", err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		server, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		return fmt.Errorf("%s: %w: %s %s", name, err, bytes.TrimSpace(text), bytes.TrimSpace(server[max(0, len(server)-2000):]))
	}
	return nil
}

// start finds a free port and runs the server there.
func (c *cluster) start(ctx context.Context) error {
	var err error
	// Somebody else may take the port before the server does.
	for range 5 {
		if c.port, err = freePort(ctx); err != nil {
			return err
		}
		if err = c.run(ctx); err == nil {
			return nil
		}
	}
	return err
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("listening at %s, which is no TCP address", l.Addr())
	}
	return addr.Port, nil
}

// run starts the server and waits until it answers.
func (c *cluster) run(ctx context.Context) error {
	options := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s -c max_connections=200 -c shared_buffers=32MB"+
		" -c fsync=off -c full_page_writes=off -c max_wal_size=4GB -c log_min_messages=fatal", c.port, c.dir)
	return c.tool(ctx, "pg_ctl", "start", "-D", c.data, "-w", "-t", "60", "-l", filepath.Join(c.dir, "log"), "-o", options)
}

// halt ends the server without any farewell.
func (c *cluster) halt(ctx context.Context) error {
	return c.tool(ctx, "pg_ctl", "stop", "-D", c.data, "-m", "immediate", "-w", "-t", "60")
}

func (c *cluster) url(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}
