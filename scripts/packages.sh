# Debian packages that quickstart, check and scripts/fuzz need, and how to get them; what else may be in their way.
# Sourced, not run.

packages_build="gcc meson ninja-build pkg-config libhwloc-dev libopenblas-openmp-dev liblapacke-dev libjansson-dev
  libyaml-dev librandom123-dev libxxhash-dev libpcre2-dev libutf8proc-dev zlib1g-dev"
packages_test="libcmocka-dev g++ python3 binutils git mount spin util-linux"
packages_fuzz="clang libclang-rt-dev libomp-dev"

# stop TEXT: one line to standard error, with the name of the script, and the end.
stop() {
  echo "${0##*/}: $1" >&2
  exit 2
}

# apt_reason LOG: why apt failed, in one line: what it could not fetch, else its first error.
apt_reason() {
  { grep -m 1 -hE '^[EW]: Failed to fetch' "$1" || grep -m 1 -h '^E: ' "$1" || tail -n 1 "$1"; } | sed 's/^[EW]: //'
}

# install_missing PACKAGE...: with apt where there is apt, otherwise names what is missing and stops.
install_missing() {
  local missing=() package sudo=() log apt=(env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -qq)
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
    command -v sudo >/dev/null || stop "not root and no sudo: install ${missing[*]} first"
    sudo=(sudo)
  fi
  echo "Installing ${missing[*]}"
  log=$(mktemp)
  if ! { "${sudo[@]}" "${apt[@]}" update && "${sudo[@]}" "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } \
      </dev/null >"$log" 2>&1; then
    package=$(apt_reason "$log")
    rm -f "$log"
    stop "apt-get cannot install ${missing[*]}: $package"
  fi
  rm -f "$log"
}

# fetch_package PACKAGE WHAT ADVICE: prints the path of a Debian package in a folder of its own, which is to be removed.
# Nothing is installed, and no root is needed.
fetch_package() {
  local folder own reason
  command -v apt-get >/dev/null || stop "there is no apt-get to fetch $2: $3"
  folder=$(mktemp -d)
  own=(-o Dir::State::Lists="$folder" -o Dir::Cache="$folder" -o APT::Sandbox::User=) # package lists of our own
  if ! (cd "$folder" && export LC_ALL=C &&
        { apt-get -qq download "$1" || { apt-get "${own[@]}" -qq update && apt-get "${own[@]}" -qq download "$1"; }; }) \
        </dev/null >"$folder/log" 2>&1; then
    reason=$(apt_reason "$folder/log")
    rm -rf "$folder"
    stop "cannot fetch $2 ($reason): $3"
  fi
  echo "$folder"/"$1"_*.deb
}

# fetch_dictionary FILE: the text of the GNU dictionary out of Debian's package dict-gcide, which is not installed: it
# would bring a server with it (dictd).
fetch_dictionary() {
  local package installed=/usr/share/dictd/gcide.dict.dz
  if [ -r $installed ]; then
    cp $installed "$1"
    return
  fi
  echo "Fetching the GNU dictionary"
  package=$(fetch_package dict-gcide "the dictionary to train on" "give a text of your own, ./quickstart FILE...")
  dpkg-deb --fsys-tarfile "$package" | tar -xO .$installed >"$1.part"
  mv "$1.part" "$1"
  rm -rf "${package%/*}"
}

# fetch_wordnet FOLDER: WordNet's database out of Debian's package wordnet-base.
fetch_wordnet() {
  local package installed=/usr/share/wordnet
  if [ -r $installed/data.noun ]; then
    cp -r $installed "$1"
    return
  fi
  echo "Fetching WordNet"
  package=$(fetch_package wordnet-base WordNet "see docs/finetuning.md for examples of your own")
  rm -rf "$1.part"
  mkdir "$1.part"
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$1.part" --strip-components=4 .$installed
  mv "$1.part" "$1"
  rm -rf "${package%/*}"
}

# usable_build_folder FOLDER: here, or in the build folder if there is one, everything can be written. A build folder of a
# tree that was moved or copied since is of no use, and is removed.
usable_build_folder() {
  local wrong
  [ -w . ] || stop "$PWD cannot be written to: copy it to where it can"
  [ -d "$1" ] || return 0
  if [ -f "$1/meson-info/meson-info.json" ] && [ "$(python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["directories"]["source"])' "$1/meson-info/meson-info.json")" != "$(pwd -P)" ]; then
    rm -rf "$1"
    return
  fi
  wrong=$(find "$1" -maxdepth 1 ! -writable -print -quit)
  [ -z "$wrong" ] || stop "$wrong belongs to another user: remove $1, or copy the tree without it"
}
