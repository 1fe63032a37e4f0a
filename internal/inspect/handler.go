package inspect

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The bounds of one question.
const (
	MaxKeys    = 100
	MaxBuckets = 1024
)

// Mount serves a region's answers on a server: mount adds a route. Without showValues nobody learns what stands in a row, only
// its digests: for servers that anybody can reach without a token.
func Mount(mount func(pattern string, h http.Handler), r Region, showValues bool) {
	mount("GET /v1/ledger", answer(func(q *http.Request) (any, error) { return r.Overview(q.Context()) }))
	mount("GET /v1/ledger/buckets", answer(func(q *http.Request) (any, error) {
		shard, err := number(q, "shard")
		if err != nil {
			return nil, err
		}
		return r.Buckets(q.Context(), q.FormValue("table"), shard)
	}))
	mount("GET /v1/ledger/entries", answer(func(q *http.Request) (any, error) {
		shard, err := number(q, "shard")
		if err != nil {
			return nil, err
		}
		buckets, err := numbers(q.FormValue("buckets"))
		if err != nil {
			return nil, err
		}
		return r.Entries(q.Context(), q.FormValue("table"), shard, buckets)
	}))
	mount("GET /v1/ledger/rows", answer(func(q *http.Request) (any, error) {
		keys, err := keyRefs(q.FormValue("keys"))
		if err != nil {
			return nil, err
		}
		rows, err := r.Rows(q.Context(), q.FormValue("table"), keys)
		if err == nil && !showValues {
			rows.hide()
		}
		return rows, err
	}))
}

func (r *Rows) hide() {
	r.Hidden = true
	for i := range r.Rows {
		hideValues(r.Rows[i].Values)
	}
}

// badQuestion is the asker's mistake.
type badQuestion struct{ what string }

func (e *badQuestion) Error() string { return e.what }

func number(q *http.Request, name string) (int, error) {
	n, err := strconv.Atoi(q.FormValue(name))
	if err != nil || n < 0 {
		return 0, &badQuestion{fmt.Sprintf("%s=%q is no number", name, q.FormValue(name))}
	}
	return n, nil
}

// numbers reads "1,2,5-9".
func numbers(s string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(to)
		}
		if err != nil || a < 0 || b < a || b >= MaxBuckets || len(list) > MaxBuckets {
			return nil, &badQuestion{fmt.Sprintf("buckets=%q is no list of numbers below %d", s, MaxBuckets)}
		}
		for ; a <= b; a++ {
			list = append(list, a)
		}
	}
	return list, nil
}

// formatNumbers is the inverse of numbers, for a sorted list.
func formatNumbers(list []int) string {
	var b strings.Builder
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(list[i]))
		if j > i {
			b.WriteString("-" + strconv.Itoa(list[j]))
		}
		i = j + 1
	}
	return b.String()
}

// keyRefs reads keys as base64 of key and label: "KEY.LABEL,KEY.,…".
func keyRefs(s string) ([]KeyRef, error) {
	var list []KeyRef
	for part := range strings.SplitSeq(s, ",") {
		key, label, _ := strings.Cut(part, ".")
		k, err := base64.RawURLEncoding.DecodeString(key)
		l, labelErr := base64.RawURLEncoding.DecodeString(label)
		if err != nil || labelErr != nil || len(k) == 0 || len(list) >= MaxKeys {
			return nil, &badQuestion{fmt.Sprintf("keys: at most %d keys in base64, each with a point and its label behind it", MaxKeys)}
		}
		list = append(list, KeyRef{Key: k, Label: l})
	}
	return list, nil
}

func formatKeyRefs(list []KeyRef) string {
	parts := make([]string, len(list))
	for i, k := range list {
		parts[i] = base64.RawURLEncoding.EncodeToString(k.Key) + "." + base64.RawURLEncoding.EncodeToString(k.Label)
	}
	return strings.Join(parts, ",")
}

func answer(f func(q *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		document, err := f(q)
		var bad *badQuestion
		var question *QuestionError
		var unrestorable *UnrestorableError
		switch {
		case errors.As(err, &bad), errors.As(err, &question):
			problem(w, http.StatusBadRequest, err)
		case errors.Is(err, ErrNoScrub), errors.Is(err, ErrUnknownTable):
			problem(w, http.StatusNotFound, err)
		case errors.Is(err, ErrNotOwned):
			problem(w, http.StatusMisdirectedRequest, err)
		case errors.Is(err, ErrRowChanged):
			problem(w, http.StatusConflict, err)
		case errors.As(err, &unrestorable):
			problem(w, http.StatusUnprocessableEntity, err)
		case errors.Is(err, ErrNotReady):
			problem(w, http.StatusServiceUnavailable, err)
		case errors.Is(err, ErrBusy):
			problem(w, http.StatusConflict, err)
		case err != nil:
			problem(w, http.StatusInternalServerError, err)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(document) // whoever asked is gone
		}
	})
}

// problem answers as RFC 9457 says.
func problem(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": err.Error()}) // whoever asked is gone
}
