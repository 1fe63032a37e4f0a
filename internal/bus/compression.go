package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
	"github.com/segmentio/kafka-go/compress"
)

// Compression names how the records of a request are compressed, as in the configuration.
type Compression string

// The compressions.
const (
	None   Compression = "none"
	Gzip   Compression = "gzip"
	Snappy Compression = "snappy"
	LZ4    Compression = "lz4"
	Zstd   Compression = "zstd"
)

// code gives the number that stands in a batch's attributes.
func (c Compression) code() (compress.Compression, error) {
	switch c {
	case None:
		return compress.None, nil
	case Gzip:
		return compress.Gzip, nil
	case Snappy:
		return compress.Snappy, nil
	case LZ4:
		return compress.Lz4, nil
	case Zstd:
		return compress.Zstd, nil
	default:
		return 0, fmt.Errorf("bus: compression %q is not one of none, gzip, snappy, lz4, zstd", string(c))
	}
}

// compressBelow is the size under which compressing is not worth its time.
const compressBelow = 512

// maxUncompressed bounds what a batch in the log may grow to: somebody else may have written it.
const maxUncompressed = 128 << 20

// compressTo appends src, compressed, to dst. It returns dst unchanged in length and None when that would not be smaller.
func compressTo(dst, src []byte, code compress.Compression) ([]byte, compress.Compression, error) {
	if code == compress.None || len(src) < compressBelow {
		return dst, compress.None, nil
	}
	out := appendWriter{buf: dst, limit: len(dst) + len(src)}
	w := newCompressor(&out, code)
	_, err := w.Write(src)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if errors.Is(err, errNotSmaller) {
		return dst, compress.None, nil
	}
	if err != nil {
		return dst, compress.None, fmt.Errorf("bus: compressing %d bytes: %w", len(src), err)
	}
	return out.buf, code, nil
}

// lz4Writers exists beside kafka-go's own pool for the block size: 4 MiB blocks, its default, would cost 8 MiB a partition.
var lz4Writers = sync.Pool{New: func() any {
	w := lz4.NewWriter(nil)
	// The options are constants that Apply accepts.
	_ = w.Apply(lz4.BlockSizeOption(lz4.Block256Kb), lz4.ConcurrencyOption(1), lz4.ChecksumOption(false))
	return w
}}

type pooledLZ4 struct{ *lz4.Writer }

func (p pooledLZ4) Close() error {
	err := p.Writer.Close()
	p.Reset(nil)
	lz4Writers.Put(p.Writer)
	return err
}

func newCompressor(w io.Writer, code compress.Compression) io.WriteCloser {
	if code == compress.Lz4 {
		z := lz4Writers.Get().(*lz4.Writer) //nolint:forcetypeassert,errcheck // only put there above
		z.Reset(w)
		return pooledLZ4{z}
	}
	return code.Codec().NewWriter(w)
}

var errNotSmaller = errors.New("not smaller")

// appendWriter appends to buf up to limit bytes.
type appendWriter struct {
	buf   []byte
	limit int
}

func (a *appendWriter) Write(p []byte) (int, error) {
	if len(a.buf)+len(p) > a.limit {
		return 0, errNotSmaller
	}
	a.buf = append(a.buf, p...)
	return len(p), nil
}

// decompress gives src uncompressed in a new buffer of just that size: it lives as long as one of its records is kept.
func decompress(src []byte, code compress.Compression) ([]byte, error) {
	codec := code.Codec()
	if codec == nil {
		return nil, fmt.Errorf("unknown compression %d", code)
	}
	room := getScratch()
	defer putScratch(room)
	r := codec.NewReader(bytes.NewReader(src))
	err := readAll(r, room, maxUncompressed)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return append([]byte(nil), *room...), err
}

// readAll reads all of r, if it is no more than limit bytes.
func readAll(r io.Reader, to *[]byte, limit int) error {
	b := (*to)[:0]
	defer func() { *to = b }()
	for idle := 0; idle < 100; {
		b = slices.Grow(b, 512)
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if n == 0 {
			idle++
		}
		if len(b) > limit {
			return fmt.Errorf("the batch grows beyond %d bytes", limit)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}
