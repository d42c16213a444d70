#!/bin/sh
# Creates the namespace and registers the search attributes. It may run again without harm.
# TEMPORAL_ADDRESS is the server, TEMPORAL_NAMESPACE the namespace.
set -eu

# The server needs some seconds until all its caches have a new namespace.
retry() {
  attempt=1
  until "$@"; do
    if [ "$attempt" -ge 60 ]; then
      echo "gave up after $attempt attempts: $*" >&2
      return 1
    fi
    attempt=$((attempt + 1))
    sleep 2
  done
}

ensure_namespace() {
  temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$NAMESPACE_RETENTION"
}

ensure_search_attributes() {
  temporal operator search-attribute create --namespace "$TEMPORAL_NAMESPACE" \
    --name SessionPhase --type Keyword \
    --name OrgId --type Keyword \
    --name ErrorReason --type Keyword
}

retry temporal operator cluster health
retry ensure_namespace
retry ensure_search_attributes
