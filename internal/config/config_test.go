package config

import (
	"testing"
)

const small = `
regions:
  us-east-1:
    mysql: {address: "10.1.0.5:3306", user: meridian, password_env: PW}
    bus: {brokers: ["k:9092"]}
tables: {include: ["shop.*"]}
`

func TestSmoke(t *testing.T) {
	c, err := Parse("x/meridian.yml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", c)
	_, err = Parse("x/meridian.yml", []byte(`
regions:
  us-east-1:
    mysql: {address: "10.1.0.5", user: , pasword_env: PW, tls: 5}
    bus: {brokers: "k:9092"}
    bus: 7
tables: {include: ["shop."], rule: []}
apply: {batch_rows: many, batch_bytes: 8MB, fence_timeout: 5}
bus: {}
`))
	t.Log(err)
	_, err = Parse("m.yml", []byte("a: [\nb: c"))
	t.Log(err)
	_, err = Parse("m.yml", []byte("regions: {}\n---\na: b"))
	t.Log(err)
}
