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
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
	schema "go.temporal.io/server/schema/sqlite"
)

// ErrFileInUse is in Start's error when another process has the DBFile open.
var ErrFileInUse = errors.New("another process uses the file")

// sqliteBusy is SQLITE_BUSY of https://www.sqlite.org/rescode.html.
const sqliteBusy = 5

// sqliteDatabase is the file, or a database in memory.
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

// sqliteConfig names the database: the file, or one in memory of its own.
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
		// The plugin makes a URI of it.
		DatabaseName: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(),
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			// A killed process loses nothing; a power cut may take the last
			// transactions, but leaves the file sound.
			"synchronous": "normal",
			// Two servers on one file would ruin it.
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

func setUpSQLite(cfg *config.SQL) (err error) {
	db, err := sql.NewSQLAdminDB(sqlplugin.DbKindUnknown, cfg, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	tables, err := db.ListTables(cfg.DatabaseName)
	switch {
	case err != nil:
		return err
	case slices.Contains(tables, "namespaces"):
		return nil
	case len(tables) > 0:
		return errors.New("it is an SQLite database, but not one of Temporal's")
	}
	// All or nothing, so that a kill half way does not leave half a schema.
	if err := db.Exec("BEGIN"); err != nil {
		return err
	}
	if err := schema.SetupSchemaOnDB(db); err != nil {
		return errors.Join(err, db.Exec("ROLLBACK"))
	}
	return db.Exec("COMMIT")
}
