#!/usr/bin/env bash
# usage: ensure_consul.sh TARGET -- put a real Consul binary at TARGET.
# A consul on PATH is used as it is. Otherwise Debian 11's package (1.8.7, one static binary) is
# fetched by apt with a private directory of its own, its signature checked, and unpacked; nothing
# on the system changes.
set -euo pipefail
target=$1
mkdir -p "$(dirname "$target")"
if found=$(command -v consul); then
    ln -sf "$found" "$target"
    "$target" version | sed -n 1p
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/unpacked
touch "$work/status"
mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } |
    sed -nE 's/^URIs: *([^ ]*).*/\1/p; s/^deb (\[[^]]*\] )?([^ ]*) .*/\2/p' |
    sed -nE '/\/debian\/?$/p' | sed -n 1p)
if [ -z "$mirror" ]; then
    echo "ensure_consul: no Debian mirror is configured on this machine; put a consul binary on PATH instead" >&2
    exit 1
fi
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" >"$work/sources.list"
apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o "Dir::State::status=$work/status"
    -o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$work" && "${apt[@]}" download consul)
dpkg -x "$work"/consul_*.deb "$work/unpacked"
mv "$work/unpacked/usr/bin/consul" "$target"
"$target" version | sed -n 1p
