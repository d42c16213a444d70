#!/bin/sh
# Creates the namespace and registers the worker's search attributes. Doing it again changes nothing.
# The server is named by TEMPORAL_ADDRESS, the namespace by TEMPORAL_NAMESPACE.
set -eu

# A new namespace takes some seconds to reach every cache of the server.
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
