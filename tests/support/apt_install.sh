#!/usr/bin/env bash
# usage: apt_install.sh PACKAGE ... -- install Debian packages, as root or through sudo.
set -euo pipefail
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "apt_install: please install as root: apt-get install $*" >&2
        exit 1
    fi
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@"
