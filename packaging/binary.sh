#!/usr/bin/env bash
# Builds dist/consuldns-<version>-linux-<architecture>.tar.gz: the program with its own Python, for
# hosts that have neither Python nor containers. It needs the C library of the machine that it was
# built on, or a newer one: build it on the oldest system that is to run it.
#
#   packaging/binary.sh PYTHON   an interpreter that has consuldns and PyInstaller
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
version=$("$python" -c 'import consuldns; print(consuldns.__version__)')
name="consuldns-$version-linux-$(uname -m)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m PyInstaller --log-level ERROR --noconfirm \
    --distpath "$work/dist" --workpath "$work/build" packaging/consuldns.spec

mkdir -p dist "$work/$name"
cp -r "$work/dist/consuldns/." "$work/$name/"
cp LICENSE README.md packaging/consuldns.toml "$work/$name/"
mkdir -p "$work/$name/systemd"
cp packaging/systemd/consuldns.* "$work/$name/systemd/"
"$python" packaging/share.py "$work/$name/share"
tar --sort=name --owner=0 --group=0 --numeric-owner -C "$work" -czf "dist/$name.tar.gz" "$name"
echo "dist/$name.tar.gz ($(du -h "dist/$name.tar.gz" | cut -f1), unpacked $(du -sh "$work/$name" | cut -f1))"
