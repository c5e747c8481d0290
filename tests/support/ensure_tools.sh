#!/usr/bin/env bash
# The tools that the tests and benchmarks use (chromium: for the status page), from Debian's packages, where they are missing.
set -euo pipefail
declare -A package_of=([dig]=bind9-dnsutils [kdig]=knot-dnsutils [dnsperf]=dnsperf [unbound]=unbound
    [dnsmasq]=dnsmasq-base [nsd]=nsd [curl]=curl [chromium]=chromium
    [named]=bind9 [kresd]=knot-resolver)
missing=()
for tool in "${!package_of[@]}"; do
    command -v "$tool" >/dev/null || [ -x "/usr/sbin/$tool" ] || missing+=("${package_of[$tool]}")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "== installing ${missing[*]}"
    tests/support/apt_install.sh "${missing[@]}"
fi
# Not installed, only unpacked: the packages would change how this machine resolves names, or start a server.
unpack() { # FOLDER PACKAGE ...
    echo "== unpacking $2 into .cache/$1"
    rm -rf ".cache/$1.new" && mkdir -p ".cache/$1.new"
    (cd ".cache/$1.new" && apt-get download -qq "${@:2}" 2>/dev/null)
    for package in ".cache/$1.new"/*.deb; do
        dpkg-deb -x "$package" ".cache/$1.new"
    done
    rm ".cache/$1.new"/*.deb
    mv ".cache/$1.new" ".cache/$1"
}
[ -x /lib/systemd/systemd-resolved ] || [ -d .cache/resolved ] || unpack resolved systemd-resolved libsystemd-shared
command -v promtool >/dev/null || [ -d .cache/prometheus ] || unpack prometheus prometheus
