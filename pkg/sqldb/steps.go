package sqldb

import "context"

// Step is one statement of a transaction whose statements are all known
// before it begins. Of Changed, Found and Row at most one is set; a step
// without them has no result.
type Step struct {
	Query string
	Args  []any
	// Changed, when there is one, is set to how many rows the statement wrote.
	// It costs SQLite a fifth of an insert less than a "returning" does.
	Changed *int64
	// Found, when there is one, is set to whether the result has a row, and
	// the first is scanned into Dest.
	Found *bool
	Dest  []any
	// Row, when there is one, is called for every row of the result, in order.
	// Scan copies the row's columns to its arguments; it may be called once for
	// each row. In a read, the first error ends the read and is returned. In a
	// write it is returned too, but undoes nothing: the statements are under
	// way to the database by then. It runs before ReadSteps or WriteSteps
	// returns, but perhaps on another goroutine, which it is not to keep.
	Row func(scan func(dest ...any) error) error
}

// ReadSteps runs statements one after the other, in a transaction of their
// own. One sees a snapshot; on Postgres, several see what was committed before each
// (read committed), where [Scope.Read] shows all of them the same.
//
// Postgres is asked once for all of them, and waited for once: a read of one
// statement through [Scope.Read] takes three such exchanges, and each costs
// this process more than the statement does. Reads that come at the same
// moment share even that one, each seeing its own scope's rows. On SQLite a single statement
// saves beginning and ending.
func (s Scope) ReadSteps(ctx context.Context, steps ...Step) error {
	if err := s.db.enter(); err != nil {
		return err
	}
	defer s.db.running.Done()
	return s.db.engine.steps(ctx, s.bounds, false, steps)
}

// WriteSteps runs statements one after the other, in a transaction of their
// own: all of them or, when one fails, none. It lasts as [Scope.Write] does,
// takes the locks of the scope before the first statement, and like it may
// begin anew: what Row leaves in variables, it sets and does not add to.
// Postgres is asked once for all of them, and for those of others who come at
// the same moment: they share a transaction, in which each sees its own
// scope's rows. When one fails, all run again alone, and none suffers from it.
//
// When the connection is lost before the answer has come nobody knows the
// outcome: the error is Transient, and repeating must be harmless.
func (s Scope) WriteSteps(ctx context.Context, steps ...Step) error {
	if err := s.db.enter(); err != nil {
		return err
	}
	defer s.db.running.Done()
	defer s.ended()
	return s.db.engine.steps(ctx, s.bounds, true, steps)
}

// runSteps is how a product runs steps that gains nothing from knowing them.
func runSteps(steps []Step) Func {
	return func(ctx context.Context, tx *Tx) error {
		for i := range steps {
			if err := steps[i].run(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	}
}

func (s *Step) run(ctx context.Context, tx *Tx) (err error) {
	switch {
	case s.Found != nil:
		*s.Found, err = tx.One(ctx, s.Query, s.Args, s.Dest...)
	case s.Row != nil:
		err = tx.Each(ctx, s.Query, s.Args, s.Row)
	default:
		var n int64
		n, err = tx.Exec(ctx, s.Query, s.Args...)
		s.changed(n)
	}
	return err
}

func (s *Step) changed(rows int64) {
	if s.Changed != nil {
		*s.Changed = rows
	}
}
