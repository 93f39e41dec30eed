#!/bin/sh
# Builds the Debian packages from a copy of the tree and lets lintian look at them. Usage: debian.sh SOURCE-DIR
set -eu
source=$1
echo "1..2"
for tool in dh dpkg-buildpackage lintian; do
  if ! command -v $tool >/dev/null; then
    printf 'ok %s # SKIP no %s\n' 1 $tool 2 $tool
    exit 0
  fi
done
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
mkdir "$root/dionode"
tar -C "$source" --exclude='./build*' --exclude=./.git --exclude=./data --exclude=./runs -c . | tar -C "$root/dionode" -x
cd "$root/dionode"

check() { # NUMBER WHAT COMMAND...
  number=$1 what=$2; shift 2
  if "$@" >"$root/log" 2>&1; then
    echo "ok $number - $what"
  else
    sed 's/^/# /' "$root/log"
    echo "not ok $number - $what"
  fi
}
check 1 "program, library and headers are packaged" dpkg-buildpackage -us -uc -b
check 2 "lintian finds nothing" lintian --allow-root --fail-on error,warning ../*.changes
