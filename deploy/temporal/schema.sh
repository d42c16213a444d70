#!/bin/sh
# Creates or updates the two databases of the Temporal server. It may run again without harm.
# temporal-sql-tool reads the connection from SQL_HOST, SQL_USER and others.
set -eu

schemas=/etc/temporal/schema/postgresql/v12

prepare() {
  temporal-sql-tool --db "$1" create-database
  temporal-sql-tool --db "$1" setup-schema --version 0.0
  temporal-sql-tool --db "$1" update-schema --schema-dir "$schemas/$2/versioned"
}

prepare temporal temporal
prepare temporal_visibility visibility
