package mysqldb_test

import (
	"fmt"
	"testing"

	"meridian/internal/mysqldb"
	"meridian/internal/row"
	"meridian/internal/testenv"
)

// orders is a table as applications have them, and n rows of it.
const ordersColumns = `id BIGINT UNSIGNED PRIMARY KEY, customer INT, mail VARCHAR(100) CHARACTER SET utf8mb4, amount DECIMAL(12,2), note TEXT CHARACTER SET utf8mb4,
	state ENUM('new','paid','sent'), made DATETIME(6), seen TIMESTAMP NULL, score DOUBLE, UNIQUE KEY (customer, id)`

func orderRows(n, round int) [][]row.Value {
	images := make([][]row.Value, n)
	for i := range images {
		images[i] = []row.Value{row.UintValue(uint64(i)), row.IntValue(int64(i%1000 + round)), row.TextValue(fmt.Sprintf("someone.%d@example.com", i)),
			row.BytesValue(row.Decimal, []byte("1234567.89")), row.TextValue("it's a note of some forty characters, no more"),
			row.TextValue("paid"), row.DatetimeValue(2026, 3, 4, 5, 6, 7, 8+round), row.TimestampValue(1700000000 * second), row.DoubleValue(0.25 * float64(i+round))}
	}
	return images
}

func ordersInfo() *mysqldb.TableInfo {
	return &mysqldb.TableInfo{Table: row.NewTable("shop", "orders", []row.Column{
		{Name: "id", Type: row.TypeUint}, {Name: "customer", Type: row.TypeInt}, {Name: "mail", Type: row.TypeText, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
		{Name: "amount", Type: row.TypeDecimal, Length: 12, Fraction: 2}, {Name: "note", Type: row.TypeText, Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
		{Name: "state", Type: row.TypeEnum, Labels: []string{"new", "paid", "sent"}, Charset: "utf8mb4"}, {Name: "made", Type: row.TypeDatetime, Fraction: 6},
		{Name: "seen", Type: row.TypeTimestamp}, {Name: "score", Type: row.TypeDouble}}, []int{0})}
}

// BenchmarkMapping_Build writes statements of 500 rows of 9 columns; an op is a statement.
func BenchmarkMapping_Build(b *testing.B) {
	info := ordersInfo()
	m, err := mysqldb.NewMapping(mysqldb.MySQL, info, info.Table)
	if err != nil {
		b.Fatal(err)
	}
	images := orderRows(500, 0)
	for _, c := range []struct {
		name  string
		build writer
	}{{"insert", m.InsertRows}, {"update", m.UpdateRows}, {"delete", m.DeleteRows}, {"lock", m.LockRows}} {
		b.Run(c.name, func(b *testing.B) {
			var sql []byte
			b.ReportAllocs()
			for b.Loop() {
				if sql, _, err = c.build(sql[:0], images); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(sql)))
			b.ReportMetric(float64(b.N)*float64(len(images))/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkServer_Write sends such statements to a server, one transaction each, durably; an op is a statement.
func BenchmarkServer_Write(b *testing.B) {
	for _, kind := range []testenv.Kind{testenv.KindMySQL, testenv.KindMariaDB} {
		db := testenv.Own(b, kind)
		s, err := mysqldb.Open(b.Context(), mysqldb.Config{Address: db.Address, User: db.User, Password: func() (string, error) { return db.Password, nil }, NoForeignKeyChecks: true})
		if err != nil {
			b.Fatal(err)
		}
		db.Exec("CREATE DATABASE shop; CREATE TABLE shop.orders (" + ordersColumns + ")")
		info, err := s.LoadTable(b.Context(), "shop", "orders")
		if err != nil {
			b.Fatal(err)
		}
		m, err := s.Mapping(info, info.Table)
		if err != nil {
			b.Fatal(err)
		}
		write := func(b *testing.B, build writer, round int) {
			for images := orderRows(500, round); len(images) > 0; {
				query, n, err := build(nil, images)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.DB.ExecContext(b.Context(), string(query)); err != nil {
					b.Fatal(err)
				}
				images = images[n:]
			}
		}
		b.Run(string(kind)+"/update", func(b *testing.B) {
			db.Exec("TRUNCATE TABLE shop.orders")
			write(b, m.InsertRows, 0)
			round := 0
			for b.Loop() {
				round++
				write(b, m.UpdateRows, round)
			}
			b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "rows/s")
		})
		b.Run(string(kind)+"/insert and delete", func(b *testing.B) {
			db.Exec("TRUNCATE TABLE shop.orders")
			for b.Loop() {
				write(b, m.InsertRows, 0)
				write(b, m.DeleteRows, 0)
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "rows/s")
		})
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}
}
