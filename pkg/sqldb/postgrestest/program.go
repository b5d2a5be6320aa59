package postgrestest

import (
	"context"
	"fmt"
)

// Open starts the server for a program that is no test and returns the URL
// of a new empty database, for [Role] and for the superuser.
func (s *Server) Open(ctx context.Context) (databaseURL, asSuperuser string, err error) {
	c, err := s.start(ctx)
	if err != nil {
		return "", "", err
	}
	name := fmt.Sprint("program_", s.names.Add(1))
	if _, err := s.admin.ExecContext(ctx, "create database "+name+" owner "+Role); err != nil {
		return "", "", fmt.Errorf("create database: %w", err)
	}
	return c.url(Role, c.password, name), c.url(superuser, c.password, name), nil
}

// Halt is [Server.Crash] for a program.
func (s *Server) Halt(ctx context.Context) error {
	c, err := s.start(ctx)
	if err != nil {
		return err
	}
	return c.halt(ctx)
}

// Resume is [Server.Restart] for a program.
func (s *Server) Resume(ctx context.Context) error {
	c, err := s.start(ctx)
	if err != nil {
		return err
	}
	return c.run(ctx)
}
