#!/usr/bin/env bash
# Builds a release of the last commit twice, in two folders, the second time without a
# build cache, and compares the bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
for folder in first second; do
  git clone --quiet --no-hardlinks . "$work/$folder-clone"
done
"$work/first-clone/tools/release.sh" 0.0.0-snapshot "$work/first"
GOCACHE=$work/cache "$work/second-clone/tools/release.sh" 0.0.0-snapshot "$work/second"
diff -r "$work/first" "$work/second"
cat "$work/first/checksums.txt"
