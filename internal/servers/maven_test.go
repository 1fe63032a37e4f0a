package servers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

// archive makes a tar.gz of the entries, whose files all hold "content".
func archive(t *testing.T, entries ...tar.Header) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	files := tar.NewWriter(packed)
	for _, header := range entries {
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len("content"))
		}
		if err := files.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			if _, err := files.Write([]byte("content")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, closer := range []func() error{files.Close, packed.Close} {
		if err := closer(); err != nil {
			t.Fatal(err)
		}
	}
	return &out
}

func TestUnpack_WritesFilesLinksAndTheirFolders(t *testing.T) {
	dir := t.TempDir()
	err := unpack(archive(t,
		tar.Header{Name: "./bin/server", Typeflag: tar.TypeReg, Mode: 0o755},
		tar.Header{Name: "lib/libssl.so", Typeflag: tar.TypeSymlink, Linkname: "libssl.so.1"},
		tar.Header{Name: "share/", Typeflag: tar.TypeDir, Mode: 0o755}), dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "bin", "server")); err != nil || info.Mode().Perm()&0o100 == 0 || info.Size() != 7 {
		t.Errorf("bin/server is %v (%v)", info, err)
	}
	if link, err := os.Readlink(filepath.Join(dir, "lib", "libssl.so")); err != nil || link != "libssl.so.1" {
		t.Errorf("the link leads to %q (%v)", link, err)
	}
}

func TestUnpack_StaysInItsFolder(t *testing.T) {
	for name, entries := range map[string][]tar.Header{
		"a path upwards":   {{Name: "../outside", Typeflag: tar.TypeReg, Mode: 0o644}},
		"an absolute path": {{Name: "/outside", Typeflag: tar.TypeReg, Mode: 0o644}},
		"through a link": {{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."},
			{Name: "link/outside", Typeflag: tar.TypeReg, Mode: 0o644}},
		"a device": {{Name: "null", Typeflag: tar.TypeChar}},
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "inside")
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if err := unpack(archive(t, entries...), dir); err == nil {
			t.Errorf("%s: unpacked without an error", name)
		}
		if _, err := os.Stat(filepath.Join(parent, "outside")); err == nil {
			t.Errorf("%s: a file was written outside", name)
		}
	}
}
