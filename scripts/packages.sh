# Debian packages that quickstart, check and scripts/fuzz need, and how to get them. Sourced, not run.

packages_build="gcc meson ninja-build pkg-config libhwloc-dev libopenblas-openmp-dev liblapacke-dev libjansson-dev
  libyaml-dev librandom123-dev libxxhash-dev zlib1g-dev"
packages_corpus="dict-gcide"
packages_test="libcmocka-dev g++ python3 binutils git mount spin util-linux"
packages_fuzz="clang libclang-rt-dev libomp-dev"

# install_missing PACKAGE...: with apt where there is apt, otherwise names what is missing and stops.
install_missing() {
  local missing=() package sudo=()
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "This system has no apt. Install what corresponds to these Debian packages, then build by hand" >&2
    echo "(meson setup build && ninja -C build):" >&2
    printf '  %s\n' "$@" >&2
    return 2
  fi
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Not root and no sudo: install ${missing[*]} first." >&2; return 2; }
    sudo=(sudo)
  fi
  echo "Installing ${missing[*]}"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
