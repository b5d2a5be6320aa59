package sqldb_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

var postgres postgrestest.Server

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		writeUntilKilled(path)
	}
	goleak.VerifyTestMain(postgres.Around(m))
}
