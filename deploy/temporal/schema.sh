#!/bin/sh
# Creates or updates the two databases of the Temporal server. Doing it again changes nothing.
# The connection comes from temporal-sql-tool's own variables (SQL_HOST, SQL_USER, …).
set -eu

schemas=/etc/temporal/schema/postgresql/v12

prepare() {
  temporal-sql-tool --db "$1" create-database
  temporal-sql-tool --db "$1" setup-schema --version 0.0
  temporal-sql-tool --db "$1" update-schema --schema-dir "$schemas/$2/versioned"
}

prepare temporal temporal
prepare temporal_visibility visibility
