package row

import "encoding/json"

// AppendNormalJSON: see below.
func AppendNormalJSON(dst, text []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return dst, err
	}
	b, err := json.Marshal(v)
	return append(dst, b...), err
}
