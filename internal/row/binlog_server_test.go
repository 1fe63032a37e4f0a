package row

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
)

// rowImages gives the raw images (null bitmap and values) of the rows that were inserted into a table, one an event, out
// of the server's binlog files: what the binlog decoder begins with.
func rowImages(t *testing.T, s *session, table string) [][]byte {
	t.Helper()
	schema := string(s.query("SELECT DATABASE()")[0][0])
	base := string(s.query("SELECT @@log_bin_basename")[0][0])
	var images [][]byte
	for _, file := range s.query("SHOW BINARY LOGS") {
		data, err := os.ReadFile(base[:bytes.LastIndexByte([]byte(base), '/')+1] + string(file[0]))
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, imagesInFile(data[4:], schema, table)...)
	}
	return images
}

// The numbers of the events, and the bytes of an event's header and of its checksum.
const (
	tableMapEvent   = 19
	writeRowsV1     = 23
	writeRowsV2     = 30
	eventHeaderSize = 19
	checksumSize    = 4
)

func imagesInFile(data []byte, schema, table string) [][]byte {
	var images [][]byte
	wanted := map[string]bool{} // by table id
	for len(data) >= eventHeaderSize {
		size := binary.LittleEndian.Uint32(data[9:])
		if size < eventHeaderSize || int(size) > len(data) {
			break
		}
		kind, body := data[4], data[eventHeaderSize:size-checksumSize]
		data = data[size:]
		switch kind {
		case tableMapEvent:
			names := body[8:]
			wanted[string(body[:6])] = bytes.HasPrefix(names, append([]byte{byte(len(schema))}, schema...)) &&
				bytes.HasPrefix(names[len(schema)+2:], append([]byte{byte(len(table))}, table...))
		case writeRowsV1, writeRowsV2:
			if !wanted[string(body[:6])] {
				continue
			}
			body = body[8:]
			if kind == writeRowsV2 {
				body = body[binary.LittleEndian.Uint16(body):]
			}
			columns := int(body[0])
			images = append(images, body[1+(columns+7)/8:])
		}
	}
	return images
}
