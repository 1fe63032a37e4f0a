package binlog

import (
	"testing"

	"meridian/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
