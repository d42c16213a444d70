package embedded

import (
	"cmp"
	"context"
	databasesql "database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/schema"
	v12 "go.temporal.io/server/schema/postgresql/v12"
)

// Postgres is a PostgreSQL server, version 12 or later, that keeps the state.
type Postgres struct {
	// Address is the server's host:port.
	Address string
	// User may create databases, unless both exist, and the extension
	// btree_gin.
	User, Password string
	// Database keeps the workflows' state. A second one, with _visibility at the
	// end of its name, lists the workflows. Both are created when missing.
	// Default "temporal".
	Database string
	// Shards is the number of parts that the state is split into; each writes one
	// transaction after the other. A database keeps the number it was created
	// with. Default 4.
	Shards int
}

func postgresDatabase(p Postgres) database {
	name := cmp.Or(p.Database, "temporal")
	main, visibility := p.config(name), p.config(name+"_visibility")
	return database{
		name: name + " on " + p.Address, main: main, visibility: visibility,
		shards: int32(cmp.Or(p.Shards, 4)), //nolint:gosec // a small number
		ensureSchema: func(ctx context.Context) error {
			if err := p.ping(ctx); err != nil {
				return err
			}
			return errors.Join(
				ensurePostgresSchema(main, "postgresql/v12/temporal/schema.sql", "executions", v12.Version),
				ensurePostgresSchema(visibility, "postgresql/v12/visibility/schema.sql", "executions_visibility",
					v12.VisibilityVersion),
			)
		},
	}
}

func (p Postgres) config(database string) *config.SQL {
	return &config.SQL{
		PluginName:      postgresql.PluginNamePGX,
		ConnectProtocol: "tcp",
		ConnectAddr:     p.Address,
		User:            p.User,
		Password:        p.Password,
		DatabaseName:    database,
		MaxConns:        20,
		MaxIdleConns:    20,
	}
}

// ping checks that the server is reachable and accepts the user. The errors of
// Temporal's plugin say that it could not connect, but not why.
func (p Postgres) ping(ctx context.Context) (err error) {
	address := url.URL{
		Scheme: "postgres", User: url.UserPassword(p.User, p.Password), Host: p.Address,
		Path: "/postgres", RawQuery: "sslmode=disable",
	}
	// Temporal's plugin registers the driver pgx.
	db, err := databasesql.Open("pgx", address.String())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return nil
}

// ensurePostgresSchema creates the database if it is missing and, unless it has the
// table, the schema of the embedded file.
func ensurePostgresSchema(cfg *config.SQL, file, table, version string) (err error) {
	server := *cfg
	server.DatabaseName = ""
	create := func(db sqlplugin.AdminDB) error { return db.CreateDatabase(cfg.DatabaseName) }
	if err := administer(&server, create); err != nil {
		return fmt.Errorf("create database %s: %w", cfg.DatabaseName, err)
	}
	return administer(cfg, func(db sqlplugin.AdminDB) error {
		tables, err := db.ListTables(cfg.DatabaseName)
		if err != nil || slices.Contains(tables, table) {
			return err
		}
		statements, err := fs.ReadFile(schema.Assets(), file)
		if err != nil {
			return fmt.Errorf("read schema: %w", err)
		}
		// The version is written before the tables. If the process is killed in
		// between, the table is missing and the next start repeats all of it.
		if err := db.CreateSchemaVersionTables(); err != nil {
			return err
		}
		if err := db.UpdateSchemaVersion(cfg.DatabaseName, version, version); err != nil {
			return err
		}
		// Statements that are sent together are one transaction.
		return db.Exec(string(statements))
	})
}

// administer calls do with a connection that may change the schema.
func administer(cfg *config.SQL, do func(sqlplugin.AdminDB) error) (err error) {
	db, err := sql.NewSQLAdminDB(
		sqlplugin.DbKindUnknown, cfg, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(db)
}
