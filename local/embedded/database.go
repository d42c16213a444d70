package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/serialization"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	schema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// database is where a server keeps its state.
type database struct {
	// name is for error messages.
	name string
	// main keeps the workflows' state and visibility lists them. They may be the
	// same database.
	main, visibility *config.SQL
	// shards is written into a new database. A server on an existing database must
	// use the same number.
	shards int32
	// ensureSchema creates the tables that are missing.
	ensureSchema func(context.Context) error
}

func databaseOf(o Options) (database, error) {
	switch {
	case o.Postgres == nil:
		return sqliteDatabase(o.DBFile)
	case o.DBFile != "":
		return database{}, fail("choose the database", fmt.Errorf("both Postgres and the DBFile %q are set", o.DBFile))
	default:
		return postgresDatabase(*o.Postgres), nil
	}
}

func (db database) persistence() config.Persistence {
	const main, visibility = "main", "visibility"
	return config.Persistence{
		DefaultStore:     main,
		VisibilityStore:  visibility,
		NumHistoryShards: db.shards,
		DataStores: map[string]config.DataStore{
			main:       {SQL: db.main},
			visibility: {SQL: db.visibility},
		},
	}
}

// prepareDatabase creates the schema, the namespace and its search attributes
// where they are missing. It must be called before the server starts, because a
// running server uses a namespace's new search attributes only some seconds later.
func prepareDatabase(ctx context.Context, db database, o Options) error {
	if err := db.ensureSchema(ctx); err != nil {
		return fail("prepare the database "+db.name, err)
	}
	if err := ensureNamespace(ctx, db.main, o); err != nil {
		return fail("set up namespace "+o.Namespace, err)
	}
	return nil
}

func ensureNamespace(ctx context.Context, cfg *config.SQL, o Options) error {
	serializer := serialization.NewSerializer()
	factory := sql.NewFactory(
		*cfg, resolver.NewNoopResolver(), clusterName, log.NewNoopLogger(), metrics.NoopMetricsHandler, serializer)
	defer factory.Close()
	store, err := factory.NewMetadataStore()
	if err != nil {
		return err
	}
	manager := persistence.NewMetadataManagerImpl(store, serializer, log.NewNoopLogger(), clusterName)

	found, err := manager.GetNamespace(ctx, &persistence.GetNamespaceRequest{Name: o.Namespace})
	if _, missing := errors.AsType[*serviceerror.NamespaceNotFound](err); missing {
		return createNamespace(ctx, manager, o)
	}
	if err != nil {
		return err
	}
	return updateNamespace(ctx, manager, found.Namespace, o)
}

func createNamespace(ctx context.Context, manager persistence.MetadataManager, o Options) error {
	made, err := schema.NewNamespaceConfig(clusterName, o.Namespace, false, nil)
	if err != nil {
		return err
	}
	if err := configure(made.Detail, o); err != nil {
		return err
	}
	_, err = manager.CreateNamespace(ctx, &persistence.CreateNamespaceRequest{Namespace: made.Detail})
	return err
}

func updateNamespace(
	ctx context.Context, manager persistence.MetadataManager, ns *persistencespb.NamespaceDetail, o Options,
) error {
	if err := configure(ns, o); err != nil {
		return err
	}
	meta, err := manager.GetMetadata(ctx)
	if err != nil {
		return err
	}
	ns.ConfigVersion++
	return manager.UpdateNamespace(ctx, &persistence.UpdateNamespaceRequest{
		Namespace:           ns,
		NotificationVersion: meta.NotificationVersion,
	})
}

func configure(ns *persistencespb.NamespaceDetail, o Options) error {
	if o.RetentionPeriod < time.Hour {
		return fmt.Errorf("retention period %v: at least 1h is needed", o.RetentionPeriod)
	}
	ns.Config.Retention = durationpb.New(o.RetentionPeriod)

	aliases, err := withAliases(ns.Config.CustomSearchAttributeAliases, o.SearchAttributes)
	if err != nil {
		return err
	}
	ns.Config.CustomSearchAttributeAliases = aliases
	return nil
}

// withAliases adds an alias for each wanted attribute that has none. In an SQL
// database a namespace's attribute is an alias of one of the columns (Keyword01,
// Keyword02, …) that every namespace has.
func withAliases(aliases map[string]string, wanted map[string]enumspb.IndexedValueType) (map[string]string, error) {
	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	columnOf := make(map[string]string, len(aliases))
	for column, name := range aliases {
		columnOf[name] = column
	}

	aliases = maps.Clone(aliases)
	if aliases == nil {
		aliases = make(map[string]string, len(wanted))
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		kind := wanted[name]
		if sadefs.IsReserved(name) {
			return nil, fmt.Errorf("search attribute %q: the name is reserved", name)
		}
		if column, exists := columnOf[name]; exists {
			if columns[column] != kind {
				return nil, fmt.Errorf("search attribute %q is registered as %v, not %v", name, columns[column], kind)
			}
			continue
		}
		column, ok := freeColumn(columns, aliases, kind)
		if !ok {
			return nil, fmt.Errorf("search attribute %q: the namespace has no column left for type %v", name, kind)
		}
		aliases[column] = name
	}
	return aliases, nil
}

func freeColumn(
	columns map[string]enumspb.IndexedValueType, aliases map[string]string, kind enumspb.IndexedValueType,
) (string, bool) {
	for _, column := range slices.Sorted(maps.Keys(columns)) {
		if _, used := aliases[column]; !used && columns[column] == kind {
			return column, true
		}
	}
	return "", false
}
