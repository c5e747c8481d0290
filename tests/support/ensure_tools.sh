#!/usr/bin/env bash
# The tools that the tests and benchmarks use (chromium: for the status page), from Debian's packages, where they are missing.
set -euo pipefail
declare -A package_of=([dig]=bind9-dnsutils [kdig]=knot-dnsutils [dnsperf]=dnsperf [unbound]=unbound
    [dnsmasq]=dnsmasq-base [nsd]=nsd [curl]=curl [chromium]=chromium)
missing=()
for tool in "${!package_of[@]}"; do
    command -v "$tool" >/dev/null || [ -x "/usr/sbin/$tool" ] || missing+=("${package_of[$tool]}")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "== installing ${missing[*]}"
    tests/support/apt_install.sh "${missing[@]}"
fi
