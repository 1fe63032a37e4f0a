package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/go-sql-driver/mysql"

	"meridian/internal/servers"
)

// databaseUser is the user that Meridian has in each database, with what `syncer schema` grants and no more.
const databaseUser = "meridian"

// region is one region of the demo: its database, its configuration file, its syncer.
type region struct {
	name     string
	folder   string
	config   string        // the path of the configuration file
	admin    *servers.Port // of the syncer's HTTP
	database *servers.Database
	db       *sql.DB  // as the application
	syncer   *process // nil until it is started
	written  counts   // by the application
}

// start starts the region's database, the number-th of so many.
func (r *region) start(ctx context.Context, program *servers.Program, cache string, number, of int) (err error) {
	if err = os.MkdirAll(r.folder, 0o700); err != nil {
		return fmt.Errorf("region %s: %w", r.name, err)
	}
	r.database, err = servers.StartDatabase(ctx, servers.DatabaseConfig{
		Program: program, Cache: cache, Directory: r.folder, ServerID: uint32(number),
		// Two regions must never hand out the same id.
		Args: []string{fmt.Sprintf("--auto-increment-increment=%d", of), fmt.Sprintf("--auto-increment-offset=%d", number)},
	})
	if err != nil {
		return fmt.Errorf("region %s: %w", r.name, err)
	}
	dsn := mysql.NewConfig()
	dsn.Net, dsn.Addr, dsn.User, dsn.Passwd = "tcp", r.database.Address(), servers.User, servers.Password
	dsn.MultiStatements, dsn.InterpolateParams = true, true
	dsn.Params = map[string]string{"time_zone": "'+00:00'"}
	dsn.Logger = &mysql.NopLogger{} // a connection that breaks is an error of its own
	connector, err := mysql.NewConnector(dsn)
	if err != nil {
		return fmt.Errorf("region %s: %w", r.name, err)
	}
	r.db = sql.OpenDB(connector)
	return nil
}

// prepare makes the application's tables, and what Meridian needs: its user, and what `syncer schema` prints.
func (r *region) prepare(ctx context.Context, syncer, password string) error {
	user := fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", databaseUser, password)
	needed, err := r.schemaSQL(ctx, syncer)
	if err != nil {
		return err
	}
	for _, script := range []string{tables, user, needed} {
		if _, err := r.db.ExecContext(ctx, script); err != nil {
			return fmt.Errorf("region %s: preparing the database: %w", r.name, err)
		}
	}
	return nil
}

// schemaSQL is what `syncer schema` prints for the region.
func (r *region) schemaSQL(ctx context.Context, syncer string) (string, error) {
	argv := []string{"schema", "--config", r.config, "--region", r.name, "--log-level", "error"}
	if r.database.Program.Kind.IsMariaDB() {
		argv = append(argv, "--mariadb") // its user, which could ask, is among what this makes
	}
	command := exec.CommandContext(ctx, syncer, argv...) //nolint:gosec // our own program, with our own arguments
	command.Env = environment()
	out, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("region %s: syncer schema: %w: %s", r.name, err, failed.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("region %s: syncer schema: %w", r.name, err)
	}
	return string(out), nil
}

// run starts the region's syncer.
func (r *region) run(ctx context.Context, syncer string) (err error) {
	r.syncer, err = startProcess(ctx, "the syncer of "+r.name, r.logPath(), []string{
		syncer, "run", "--config", r.config, "--region", r.name, "--replica", "0", "--log-format", "console"})
	return err
}

func (r *region) logPath() string { return filepath.Join(filepath.Dir(r.folder), r.name+".log") }

// close ends the region's database and gives back what it had.
func (r *region) close() error {
	var errs []error
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	if r.database != nil {
		errs = append(errs, r.database.Close())
	}
	if r.admin != nil {
		errs = append(errs, r.admin.Release())
	}
	return errors.Join(errs...)
}
