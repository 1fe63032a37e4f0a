package main

import (
	"context"
	"fmt"
	"strings"

	"meridian/internal/command"
	"meridian/internal/mysqldb"
	"meridian/internal/preflight"
	"meridian/internal/propagate"
)

type schemaCommand struct {
	command.RegionFlag
	Apply   bool   `help:"Create what is missing instead of printing it (only Meridian's own tables; the GRANTs are for an administrator)."`
	Account string `placeholder:"USER@HOST" help:"For whom the GRANTs are (the configured user, at any host)."`
	MariaDB bool   `name:"mariadb" help:"Print for MariaDB, if the region's database cannot be asked what it is."`
}

// Help adds the example.
func (schemaCommand) Help() string {
	return "What is printed runs as it is, any number of times.\n\nExample:\n\n" +
		"  syncer schema --region us-east-1 | mysql -h 10.1.0.5 -u root -p"
}

// Run implements the command.
func (s *schemaCommand) Run(ctx context.Context, p *command.Process) error {
	c, region, err := p.LoadRegion(s.RegionFlag)
	if err != nil {
		return err
	}
	database, err := databaseConfig(region, p.Logger)
	if err != nil {
		return err
	}
	server, err := mysqldb.Open(ctx, database)
	if s.Apply {
		if err != nil {
			return fmt.Errorf("region %s: %w", region.Name, err)
		}
		return applySchema(ctx, p, server)
	}
	mariadb := s.MariaDB
	switch {
	case err == nil:
		mariadb = server.Flavor == mysqldb.MariaDB
		if err = server.Close(); err != nil {
			return err
		}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default: // the user may not be there yet: this is what the SQL is for
		p.Logger.Warn(fmt.Sprintf("region %s could not be asked what it is; this is for %s: %v", region.Name, flavorName(mariadb), err))
	}
	account := s.Account
	if account == "" {
		account = region.MySQL.User + "@%"
	}
	return p.Print(schemaSQL(mariadb, account, preflight.LeastGrants(mariadb, preflight.QuoteAccount(account), patterns(c.Tables.Include))))
}

func flavorName(mariadb bool) string {
	if mariadb {
		return mysqldb.MariaDB.String()
	}
	return mysqldb.MySQL.String()
}

// schemaSQL is a script for the mysql client.
func schemaSQL(mariadb bool, account string, grants []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "-- What Meridian needs on %s, for %s. Safe to run again.\n\n", flavorName(mariadb), account)
	for _, statement := range propagate.StateSchema() {
		out.WriteString(strings.TrimSuffix(statement, ";") + ";\n\n")
	}
	fmt.Fprintf(&out, "-- CREATE USER IF NOT EXISTS %s IDENTIFIED BY '...'; -- unless the user is there\n", preflight.QuoteAccount(account))
	for _, grant := range grants {
		out.WriteString(grant + "\n")
	}
	return out.String()
}

// applySchema runs the DDL as the configured user.
func applySchema(ctx context.Context, p *command.Process, server *mysqldb.Server) (err error) {
	defer func() {
		if closeErr := server.Close(); err == nil {
			err = closeErr
		}
	}()
	for _, statement := range propagate.StateSchema() {
		if _, err = server.DB.ExecContext(ctx, statement); err != nil {
			name, _, _ := strings.Cut(statement, "(")
			return fmt.Errorf("%s: %s: %w\nan administrator can do it with what `syncer schema` prints", server.Address, strings.TrimSpace(name), err)
		}
	}
	return p.Print(fmt.Sprintf("schema %s is as it should be at %s\n", propagate.StateDatabase, server.Address))
}
