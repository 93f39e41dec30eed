#!/bin/sh
# A meson project with dionode as its subproject builds a program against it and runs it from its build folder.
# Usage: subproject.sh SOURCE-DIR MESON
set -eu
source=$1 meson=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
echo "1..1"

mkdir -p "$root/subprojects"
ln -s "$source" "$root/subprojects/dionode"
cp "$source/tests/install/outside.c" "$root"
cat >"$root/meson.build" <<'END'
project('another', 'c', meson_version: '>= 1.0.0')
test('outside', executable('outside', 'outside.c', dependencies: dependency('dionode')))
END
# Its own word for the folders; pkg-config must not find an installed dionode instead.
if (cd "$root" && "$meson" setup build --force-fallback-for=dionode && "$meson" compile -C build outside &&
    build/outside) >"$root/log" 2>&1 && grep "^2 workers" "$root/log" >/dev/null; then
  echo "ok 1 - a program of another project builds with dionode as a subproject, and runs"
else
  sed 's/^/# /' "$root/log"
  echo "not ok 1 - a program of another project builds with dionode as a subproject, and runs"
fi
