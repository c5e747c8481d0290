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
# Not installed, only unpacked: its package would change how this machine resolves names.
if [ ! -x /lib/systemd/systemd-resolved ] && [ ! -d .cache/resolved ]; then
    echo "== unpacking systemd-resolved into .cache/resolved"
    mkdir -p .cache/download
    (cd .cache/download && apt-get download -qq systemd-resolved libsystemd-shared 2>/dev/null)
    for package in .cache/download/*systemd*.deb; do
        dpkg-deb -x "$package" .cache/resolved.new
    done
    mv .cache/resolved.new .cache/resolved
fi
