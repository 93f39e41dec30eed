# Builds threads.c and what it needs of the library under the thread sanitizer. Sourced, not run: build_threads TREE
# OUT makes OUT/threads from the sources in TREE; a file whose object in OUT is newer is not compiled again.

build_threads() {
  local tree=$1 out=$2 file object
  local flags="-std=gnu11 -O1 -g -fsanitize=thread -D_GNU_SOURCE -DDN_ISA=base -DDN_VERSION=\"0\" -DDN_MODULES=\"\" -I$out -I$tree/include -I$tree/src -I$tree/tests"
  local objects=()
  mkdir -p "$out/device"
  printf '#define DN_DEVICES(X) X(cpu)\n' > "$out/device/devices.h" # the CPU alone
  for file in "$tree"/src/base/*.c "$tree"/src/tensor/*.c "$tree"/src/shm/*.c "$tree"/src/device/*.c "$tree"/src/comm/*.c "$tree"/tests/support/ranks.c \
      "$tree"/tests/tsan/*.c; do
    case $file in */base/json.c|*/join.c|*/device/available.c|*/device/fake.c|*/device/place.c) continue ;; esac
    object=$out/$(basename "$(dirname "$file")")-$(basename "$file" .c).o
    objects+=("$object")
    [ "$object" -nt "$file" ] && [ -z "${compile_all:-}" ] || ${CC:-gcc} $flags -c "$file" -o "$object" || return
  done
  ${CC:-gcc} -fsanitize=thread "${objects[@]}" -lpthread -lm -o "$out/threads"
}

# Address space randomization can put mappings where this sanitizer wants its own.
run_threads() { # OUT
  TSAN_OPTIONS="halt_on_error=1 exitcode=66 ${TSAN_OPTIONS:-}" timeout 100 setarch -R "$1/threads"
}
