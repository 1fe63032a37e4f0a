package envelope

import (
	"encoding/json"
	"testing"

	"meridian/internal/row"
)

// debezium is how a consumer written for Debezium's MySQL connector declares what it reads from the JSON converter with
// schemas disabled (https://debezium.io/documentation/reference/stable/connectors/mysql.html#mysql-change-event-values).
type debezium struct {
	Before map[string]any `json:"before"`
	After  map[string]any `json:"after"`
	Source *struct {
		Version   string  `json:"version"`
		Connector string  `json:"connector"`
		Name      string  `json:"name"`
		TsMs      int64   `json:"ts_ms"`
		TsUs      int64   `json:"ts_us"`
		DB        string  `json:"db"`
		Table     *string `json:"table"`
		ServerID  int64   `json:"server_id"`
		GTID      *string `json:"gtid"`
		File      string  `json:"file"`
		Pos       int64   `json:"pos"`
		Row       int32   `json:"row"`
	} `json:"source"`
	Transaction *struct {
		ID         string `json:"id"`
		TotalOrder int64  `json:"total_order"`
	} `json:"transaction"`
	Op   string `json:"op"`
	TsMs *int64 `json:"ts_ms"`
}

func readAsDebezium(t *testing.T, m *Message) debezium {
	t.Helper()
	var d debezium
	if err := json.Unmarshal(encoded(t, m).Value, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDebezium_ConsumersReadAChange(t *testing.T) {
	m := orderMessage(t)
	m.Change.Op, m.Change.Before = row.Update, m.Change.After
	d := readAsDebezium(t, m)
	if d.Source == nil || d.Transaction == nil || d.TsMs == nil || d.Source.GTID == nil || d.Source.Table == nil {
		t.Fatalf("a member is missing: %+v", d)
	}
	s := *d.Source
	if s.Connector != "mysql" || s.Name != "us-east-1" || s.TsMs != 1709210096789 || s.TsUs != 1709210096789012 || s.DB != "shop" || *s.Table != "orders" ||
		s.ServerID != 1 || *s.GTID != m.Source.GTID || s.File != "bin.000042" || s.Pos != 1234567 || s.Version == "" {
		t.Errorf("source is %+v", s)
	}
	if d.Transaction.ID != m.Source.GTID || d.Transaction.TotalOrder != 1 || *d.TsMs != m.Time || d.Op != "u" {
		t.Errorf("the envelope is %+v", d)
	}
	for name, image := range map[string]map[string]any{"before": d.Before, "after": d.After} {
		for column, want := range map[string]any{"id": 123456.0, "customer": "Ada Lovelace", "amount": "1234.50", "state": "shipped",
			"created_at": 1709210096789012.0, "updated_at": "2024-02-29T12:34:56.789012Z"} {
			if image[column] != want {
				t.Errorf("%s.%s is %v (%T), want %v", name, column, image[column], image[column], want)
			}
		}
	}
}

func TestDebezium_ConsumersSeeTheOperations(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Message)
		op     string
	}{
		"insert": {func(*Message) {}, "c"},
		"update": {func(m *Message) { m.Change.Op = row.Update }, "u"},
		"delete": {func(m *Message) {
			m.Change.Op, m.Change.Before, m.Change.After, m.Change.Digest = row.Delete, m.Change.After, nil, 0
		}, "d"},
		"seed":     {func(m *Message) { m.Kind = Seed }, "r"},
		"baseline": {func(m *Message) { m.Kind, m.Change.Version = Repair, row.Version{} }, "r"},
		"repair":   {func(m *Message) { m.Kind, m.Change.Op = Repair, row.Update }, "u"},
		"control":  {func(m *Message) { m.Kind, m.Watermark, m.Source = Watermark, &WatermarkMark{}, Source{} }, "m"},
	} {
		m := orderMessage(t)
		c.change(m)
		if d := readAsDebezium(t, m); d.Op != c.op || (d.After == nil) != (c.op == "d" || c.op == "m") {
			t.Errorf("%s: op is %q with an image: %t", name, d.Op, d.After != nil)
		}
	}
}

func TestDebezium_KeysHaveThePrimaryKeyInItsOrder(t *testing.T) {
	table := row.NewTable("shop", "lines", []row.Column{{Name: "amount", Type: row.TypeInt}, {Name: "sku", Type: row.TypeBinary}, {Name: "order_id", Type: row.TypeUint}}, []int{2, 1})
	image := []row.Value{row.IntValue(1), row.BytesValue(row.Binary, []byte{0xff}), row.UintValue(7)}
	key, err := table.Key(image)
	if err != nil {
		t.Fatal(err)
	}
	m := orderMessage(t)
	m.Change = &row.Change{Table: table, Op: row.Insert, Key: key, After: image, Digest: table.Digest(key, image), Version: m.Change.Version}
	if got, want := string(encoded(t, m).Key), `{"table":"shop.lines","key":{"order_id":7,"sku":"/w=="}}`; got != want {
		t.Errorf("the key is %s, want %s", got, want)
	}
}
