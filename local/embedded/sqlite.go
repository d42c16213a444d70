package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	schema "go.temporal.io/server/schema/sqlite"
)

// ErrFileInUse is in Start's error when another process has the DBFile open.
var ErrFileInUse = errors.New("another process uses the file")

// sqliteBusy is SQLITE_BUSY of https://www.sqlite.org/rescode.html.
const sqliteBusy = 5

// sqliteDatabase returns the database in the file, or one in memory for "".
func sqliteDatabase(file string) (database, error) {
	cfg, err := sqliteConfig(file)
	if err != nil {
		return database{}, err
	}
	return database{
		name: cmp.Or(file, "in memory"), main: cfg, visibility: cfg, shards: 1,
		ensureSchema: func(context.Context) error { return ensureSQLiteSchema(cfg) },
	}, nil
}

// sqliteConfig returns the settings of the database. Each database in memory has a
// name of its own.
func sqliteConfig(file string) (*config.SQL, error) {
	if file == "" {
		return &config.SQL{
			PluginName:        sqlite.PluginName,
			DatabaseName:      uuid.NewString(),
			ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
		}, nil
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, fail(fmt.Sprintf("find the database file %q", file), err)
	}
	return &config.SQL{
		PluginName: sqlite.PluginName,
		// The plugin builds a URI from it.
		DatabaseName: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(),
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			// A killed process loses nothing. A power failure may lose the last
			// transactions, but does not corrupt the file.
			"synchronous": "normal",
			// Two servers on one file would corrupt its state.
			"locking_mode": "exclusive",
		},
	}, nil
}

func ensureSQLiteSchema(cfg *config.SQL) error {
	err := setUpSQLite(cfg)
	if sqliteErr, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok && sqliteErr.Code() == sqliteBusy {
		return fmt.Errorf("%w: %w", ErrFileInUse, err)
	}
	return err
}

func setUpSQLite(cfg *config.SQL) error {
	return administer(cfg, func(db sqlplugin.AdminDB) error {
		tables, err := db.ListTables(cfg.DatabaseName)
		switch {
		case err != nil:
			return err
		case slices.Contains(tables, "namespaces"):
			return nil
		case len(tables) > 0:
			return errors.New("it is an SQLite database, but not one of Temporal's")
		}
		// One transaction, so that a kill does not leave a part of the schema.
		if err := db.Exec("BEGIN"); err != nil {
			return err
		}
		if err := schema.SetupSchemaOnDB(db); err != nil {
			return errors.Join(err, db.Exec("ROLLBACK"))
		}
		return db.Exec("COMMIT")
	})
}
