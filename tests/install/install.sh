#!/bin/sh
# Installs into an empty folder, builds a program outside the tree and an example against it with pkg-config alone, and
# runs them and the installed program. Usage: install.sh BUILD-DIR SOURCE.c EXAMPLE.c MESON CC
set -eu
build=$1 source=$2 example=$3 meson=$4 cc=$5
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
echo "1..5"

"$meson" install -C "$build" --no-rebuild --destdir "$root" >"$root/log" 2>&1 || { cat "$root/log"; exit 1; }
pc=$(find "$root" -name dionode.pc)
[ -n "$pc" ] || { echo "not ok 1 - a pkg-config file is installed"; exit 1; }
echo "ok 1 - a pkg-config file is installed"

export PKG_CONFIG_PATH="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$root"
$cc -Wall -Wextra -Werror "$source" -o "$root/outside" $(pkg-config --cflags --libs dionode)
echo "ok 2 - an outside program builds with pkg-config alone"

lib=$(dirname "$(find "$root" -name 'libdionode.so')")
LD_LIBRARY_PATH=$lib "$root/outside" | grep -q "2 workers" || { echo "not ok 3 - it runs"; exit 1; }
echo "ok 3 - it runs"

program=$(find "$root" -path '*bin/dionode')
LD_LIBRARY_PATH=$lib "$program" --version | grep -q "^dionode [0-9]" || { echo "not ok 4 - the installed program runs"; exit 1; }
echo "ok 4 - the installed program runs"

$cc -Wall -Wextra -Werror "$example" -o "$root/example" $(pkg-config --cflags --libs dionode)
LD_LIBRARY_PATH=$lib "$root/example" | grep -q "^step 400  loss 0.00" || { echo "not ok 5 - an example steps its own matrix"; exit 1; }
echo "ok 5 - an example steps its own matrix"
