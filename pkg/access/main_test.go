package access

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
