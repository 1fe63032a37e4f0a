package demo

import (
	"fmt"
	"strings"
)

// regionNames are the regions, as many as are asked for. The first serves the bus; the last is the one that is cut off.
var regionNames = []string{
	"us-east-1", "eu-west-1", "ap-south-1", "sa-east-1", "us-west-2", "eu-north-1", "ap-east-1", "af-south-1", "me-south-1",
}

// MostRegions is how many regions there are names for.
const MostRegions = 9

// shards is the demo's bus.partitions: enough to work in parallel, and not more than two cores can use.
const shards = 4

// settings is what the configuration file says. Addresses are host:port.
type settings struct {
	regions  []*region
	password string // of the database user meridian
	token    string // the file that has the token of the HTTP
	bus      string // where the first region serves the bus
	line     string // "" or where the bus is dialled instead
	state    string // folder
}

// yaml gives the configuration file, as somebody would write it.
func (s *settings) yaml() string {
	var out strings.Builder
	out.WriteString("# Written by `syncer demo`.\nregions:\n")
	for _, r := range s.regions {
		fmt.Fprintf(&out, "  %s:\n    mysql: {address: %q, user: %s, password: %q}\n    admin: {listen: %q}\n",
			r.name, r.database.Address(), databaseUser, s.password, r.admin.Address())
	}
	if s.line == "" {
		fmt.Fprintf(&out, "bus:\n  embedded: {listen: %q, region: %s}\n", s.bus, s.regions[0].name)
	} else {
		fmt.Fprintf(&out, "bus: # the same bus as for the other regions, over a line that can be cut\n  brokers: [%q]\n  replication_factor: 1\n", s.line)
	}
	fmt.Fprintf(&out, "  partitions: %d\ntables:\n  include: [%q]\nadmin: {token_file: %q}\nstate_directory: %q\n", shards, schema+".*", s.token, s.state)
	return out.String()
}
