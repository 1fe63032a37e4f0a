package servers

import "testing"

func TestParseVersion_ReadsWhatServersPrint(t *testing.T) {
	for line, want := range map[string]Version{
		"/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))":                             {9, 7, 4},
		"mysqld  Ver 8.0.15 for linux-glibc2.12 on x86_64 (MySQL Community Server - GPL)":          {8, 0, 15},
		"/usr/sbin/mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Deb)":  {10, 11, 19},
		"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=eb4b7ef68b5c27e": {7, 0, 15},
		"kafka 4.1.1\n": {4, 1, 1},
	} {
		if got, err := parseVersion(line); err != nil || got != want {
			t.Errorf("%q: %v (%v), want %v", line, got, err, want)
		}
	}
	for _, line := range []string{"", "mysqld", "Ver 8", "Ver x.y.z", "Ver 8.0.-1"} {
		if got, err := parseVersion(line); err == nil {
			t.Errorf("%q: %v, want an error", line, got)
		}
	}
}

func TestKind_AcceptsWhatCanStandInForIt(t *testing.T) {
	type found struct {
		version Version
		mariadb bool
	}
	for _, c := range []struct {
		found found
		want  []Kind
	}{
		{found{Version{9, 7, 4}, false}, []Kind{MySQL, Redis}},
		{found{Version{8, 4, 0}, false}, []Kind{MySQL, Redis}},
		{found{Version{8, 0, 44}, false}, []Kind{MySQL80, Redis}},
		{found{Version{5, 7, 44}, false}, nil},
		{found{Version{11, 8, 2}, true}, []Kind{MariaDB, Redis}},
		{found{Version{11, 3, 0}, true}, []Kind{Redis}},
		{found{Version{10, 11, 1}, true}, []Kind{MariaDB1011, Redis}},
		{found{Version{10, 6, 1}, true}, []Kind{Redis}},
	} {
		var got []Kind
		for _, kind := range []Kind{MySQL, MySQL80, MariaDB, MariaDB1011, Kafka, Redis} {
			if kind.accepts(c.found.version, c.found.mariadb) {
				got = append(got, kind)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%v is accepted as %v, want %v", c.found, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%v is accepted as %v, want %v", c.found, got, c.want)
			}
		}
	}
}
