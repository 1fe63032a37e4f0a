package config

import (
	"fmt"
	"os"
	"strings"
)

// Secret is a password or a token, or where to find it. It is read again at every use, so that rotation needs no restart,
// and it never prints itself.
type Secret struct {
	literal   *string
	env, file string
}

// LiteralSecret makes a Secret from its value.
func LiteralSecret(value string) Secret { return Secret{literal: &value} }

// IsSet tells whether the configuration names a secret at all.
func (s Secret) IsSet() bool { return s.literal != nil || s.env != "" || s.file != "" }

// Read gives the secret as it is now; "" if none is configured. A file's last line break is no part of it.
func (s Secret) Read() (string, error) {
	switch {
	case s.literal != nil:
		return *s.literal, nil
	case s.env != "":
		value, ok := os.LookupEnv(s.env)
		if !ok {
			return "", fmt.Errorf("the environment variable %s, which should hold the secret, is not set", s.env)
		}
		return value, nil
	case s.file != "":
		data, err := os.ReadFile(s.file)
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
	default:
		return "", nil
	}
}

// String says where the secret comes from, never what it is.
func (s Secret) String() string {
	switch {
	case s.literal != nil:
		return "[secret]"
	case s.env != "":
		return "[secret in $" + s.env + "]"
	case s.file != "":
		return "[secret in " + s.file + "]"
	default:
		return "[no secret]"
	}
}

// Format is String for every verb: %#v must not print it either.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, s.String()) }

// MarshalText is String for JSON, YAML and loggers.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
