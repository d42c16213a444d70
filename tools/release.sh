#!/usr/bin/env bash
# Builds the files of a release: for each platform an archive with the worker and the
# starter, for each program a list of its modules (SBOM, CycloneDX), and checksums.
# The same commit and version give the same bytes, in whatever folder the sources are.
#
#   tools/release.sh VERSION FOLDER [PLATFORM ...]
set -euo pipefail

version=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2
platforms=("${@:-linux/amd64}")
cd "$(dirname "$0")/.."

# -buildvcs=false: whether a file of the clone was touched must not change the bytes.
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -mod=readonly"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
if [[ $version != *snapshot* && -n $(git status --porcelain) ]]; then
  echo "release: the clone has changes that are not committed" >&2
  exit 1
fi
rm -f "$out"/sessionkeeper_"$version"_* "$out/checksums.txt"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for platform in "${platforms[@]}"; do
  name=sessionkeeper_${version}_${platform/\//_}
  mkdir -p "$work/$name"
  GOOS=${platform%/*} GOARCH=${platform#*/} go build -ldflags "-s -w -buildid= -X main.version=$version" \
    -o "$work/$name/" ./worker ./starter
  install -m 644 LICENSE CHANGELOG.md README.md deploy/worker.example.yaml "$work/$name/"
  chmod 755 "$work/$name" "$work/$name/worker" "$work/$name/starter"
  tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@$SOURCE_DATE_EPOCH" --format=ustar "$name" | gzip --no-name -9 > "$out/$name.tar.gz"
  for program in worker starter; do
    go tool -modfile=tools/go.mod cyclonedx-gomod bin -json -noserial -notimestamp -version "$version" \
      -output "$out/$name.$program.sbom.json" "$work/$name/$program" 2> "$work/sbom.log" ||
      { cat "$work/sbom.log" >&2; exit 1; }
  done
done
cd "$out"
sha256sum -- sessionkeeper_"$version"_* > checksums.txt
