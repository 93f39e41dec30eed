#!/bin/sh
# Installs into an empty folder and uses what is there as others would: programs in C and in C++ with pkg-config alone,
# from the build tree and from the folder, and the installed program.
# Usage: install.sh BUILD-DIR SOURCE-DIR MESON CC
set -eu
build=$1 source=$2 meson=$3 cc=$4
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM
unset LD_LIBRARY_PATH # meson sets it to the build folder
flags="-Wall -Wextra -Werror"

number=0
check() { # WHAT COMMAND...: one test; its output is shown where it fails
  number=$((number + 1)) what=$1; shift
  if ("$@") >"$root/log" 2>&1; then
    echo "ok $number - $what"
  else
    sed 's/^/# /' "$root/log"
    echo "not ok $number - $what"
  fi
}
skip() { # WHAT WHY
  number=$((number + 1))
  echo "ok $number - $1 # SKIP $2"
}

"$meson" install -C "$build" --no-rebuild --destdir "$root" >"$root/log" 2>&1 || { cat "$root/log"; exit 1; }
pc=$(find "$root" -name dionode.pc) program=$(find "$root" -path '*/bin/dionode')
lib=$(dirname "$(find "$root" -name libdionode.so)") include=$(dirname "$(find "$root" -name comm.h)")
searched=$(pkg-config --variable pc_path pkg-config)
# No other file of pkg-config is seen: what the library itself is built with, its users need not have for building.
uninstalled() { PKG_CONFIG_LIBDIR=$build/meson-uninstalled pkg-config "$@"; }
installed() { PKG_CONFIG_LIBDIR=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@"; }

is_searched() {
  case "$pc" in
    "$root"/usr/local/*) ;;
    *) return 0 ;; # a prefix of the user's own
  esac
  folder=${pc#"$root"}
  echo "${folder%/*} is not among $searched"
  case ":$searched:" in *":${folder%/*}:"*) ;; *) return 1 ;; esac
}
check "pkg-config looks where its file is installed" is_searched

outside() { # PROGRAM PKG-CONFIG
  $cc $flags "$source/tests/install/outside.c" -o "$root/$1" $($2 --cflags --libs dionode)
}
check "an outside program builds with pkg-config alone" outside outside installed
runs() { LD_LIBRARY_PATH=$1 "$root/$2" | grep "2 workers"; }
check "it runs" runs "$lib" outside
check "another builds from the build tree with pkg-config alone" outside uninstalled uninstalled
check "it runs, too" runs "$build" uninstalled

with_rpath() { # as README says for a prefix that the loader does not search
  $cc $flags "$source/tests/install/outside.c" -o "$root/rpath" $(installed --cflags --libs dionode) \
    "-Wl,-rpath,$root$(PKG_CONFIG_PATH=${pc%/*} pkg-config --variable=libdir dionode)" &&
    "$root/rpath" | grep "2 workers"
}
check "a program with the folder of the library in its rpath needs nothing to run" with_rpath

says_version() {
  LD_LIBRARY_PATH=$lib "$program" --version | grep -x "dionode $(installed --modversion dionode)"
}
check "the installed program runs, and says the version that pkg-config says" says_version

companions() { # with the program, not with its source
  share=${program%/bin/dionode}/share
  for file in man/man1/dionode.1 man/man5/dionode.5 bash-completion/completions/dionode zsh/site-functions/_dionode \
      dionode/configs/quickstart.yaml doc/dionode/README.md doc/dionode/architecture.md doc/dionode/extending/rule.md \
      doc/dionode/examples/all_reduce.c; do
    [ -s "$share/$file" ] || { echo "no $file"; return 1; }
  done
}
check "manual, completion, configurations, documentation and examples are installed" companions

same_openblas() { # as it was built with, where each build of it has a folder of its own
  folder=$(pkg-config --variable=libdir openblas)
  echo "loaded: $(ldd "$lib/libdionode.so" | grep openblas); built with: $folder"
  case "$folder" in
    *openblas*) ldd "$lib/libdionode.so" | grep -F "$(realpath "$folder")" ;;
  esac
}
check "the installed library loads the OpenBLAS that it was built with" same_openblas

example() {
  $cc $flags "$source/examples/fit_matrix.c" -o "$root/example" $(installed --cflags --libs dionode) &&
    LD_LIBRARY_PATH=$lib "$root/example" | grep "^step 400  loss 0.00"
}
check "an example steps its own matrix" example

# A C++ program that includes every installed header and takes the address of every exported symbol.
in_cpp() {
  {
    (cd "${include%/*}" && printf '#include <%s>\n' dionode/*.h)
    echo 'static void *const all[] = {'
    nm -D --defined-only --format=posix "$lib/libdionode.so" | sed 's/\([^ ]*\).*/  reinterpret_cast<void *>(\1),/'
    cat <<'END'
};
#include <cstdio>
int main()
{
    for (void *at : all)
        if (!at)
            return 1;
    std::printf("%zu functions of dionode %s\n", sizeof all / sizeof *all, dn_version());
}
END
  } >"$root/all.cc"
  c++ $flags -std=c++17 "$root/all.cc" -o "$root/all" $(installed --cflags --libs dionode) &&
    LD_LIBRARY_PATH=$lib "$root/all" | grep "^[1-9][0-9]* functions of dionode [0-9]"
}
what="a C++ program links with every function of the library"
if command -v c++ >/dev/null; then check "$what" in_cpp; else skip "$what" "no C++ compiler"; fi

echo "1..$number"
