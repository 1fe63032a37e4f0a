package syncer_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"meridian/internal/testenv"
)

const ledgerPage = 4096

// overwrite makes all pages behind the first ones something else, in the file as it is: a process may be using it.
func overwrite(t *testing.T, path string, with byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.WriteAt(bytes.Repeat([]byte{with}, int(info.Size())-2*ledgerPage), 2*ledgerPage); err != nil {
		t.Fatal(err)
	}
}

// filled starts two regions with enough rows for many pages.
func filled(t *testing.T) (a, b *region, r *regions) {
	t.Helper()
	r = newRegions(t, 2, testenv.KindMySQL, testenv.KindMySQL)
	r.exec(ordersDDL)
	r.start()
	a, b = r.list[0], r.list[1]
	const rows = 300
	var insert bytes.Buffer
	insert.WriteString("INSERT INTO orders VALUES (0, 'x', 0)")
	for i := 1; i < rows; i++ {
		fmt.Fprintf(&insert, ", (%d, 'x', 0)", i)
	}
	a.exec(insert.String())
	b.exec("UPDATE orders SET n = 1 WHERE id < 0")
	r.waitSettled()
	r.waitEqual(all)
	b.exec("UPDATE orders SET item = 'b', n = 1 WHERE id < 100")
	r.waitSettled()
	b.waitFlushes(2)
	return a, b, r
}

// A damaged ledger file does not end the process: it is set aside, and the ledger is made anew.
func TestDamage_FoundAtTheStartIsSetAsideAndRebuilt(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"cut off": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, info.Size()/2)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"garbage": func(t *testing.T, path string) { overwrite(t, path, 0xA5) },
		"zeroes":  func(t *testing.T, path string) { overwrite(t, path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b, r := filled(t)
			if err := b.end(); err != nil {
				t.Fatal(err)
			}
			damage(t, b.ledgerPath())
			b.exec("UPDATE orders SET n = 2 WHERE id = 3") // newer than what comes from the other region
			b.start()
			b.waitReady()
			a.exec("UPDATE orders SET n = 7 WHERE id >= 100")
			r.waitSettled()
			r.waitEqual(all)
			if _, err := os.Stat(b.ledgerPath() + ".damaged"); err != nil {
				t.Errorf("the damaged file is not kept: %v", err)
			}
			r.checkLedgers()
		})
	}
}

// Damage may be met at any time, by anybody who uses the ledger.
func TestDamage_UnderARunningProcessIsSetAsideAndRebuilt(t *testing.T) {
	a, b, r := filled(t)
	overwrite(t, b.ledgerPath(), 0)
	a.exec("UPDATE orders SET n = 7")
	eventually(t, "the damaged file is set aside", func() error {
		_, err := os.Stat(b.ledgerPath() + ".damaged")
		return err
	})
	b.waitReady()
	r.waitSettled()
	r.waitEqual(all)
	b.waitCount("retries_total", map[string]string{"component": "start", "reason": "ledger"}, 1)
	r.checkLedgers()
}
