#!/usr/bin/env bash
# usage: ensure_python.sh PYTHON VENV -- make a virtual environment, or say what is missing.
set -euo pipefail
python=$1 venv=$2
if ! command -v "$python" >/dev/null; then
    echo "ensure_python: '$python' is not installed; install Python 3.11 or newer, or run 'make PYTHON=/path/to/python3'" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "ensure_python: '$python' is older than 3.11; run 'make PYTHON=/path/to/python3.11'" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "ensure_python: the venv module is missing; installing python3-venv"
    tests/support/apt_install.sh python3-venv
fi
"$python" -m venv "$venv"
