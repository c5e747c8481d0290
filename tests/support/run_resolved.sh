#!/usr/bin/env bash
# usage: unshare --mount run_resolved.sh FOLDER -- systemd-resolved with FOLDER/*.conf and nothing of this machine's.
set -euo pipefail
folder=$1
id=64998 # of the user that it becomes, which exists in this namespace only
cp /etc/passwd /etc/group "$folder/"
if ! grep -q '^systemd-resolve:' "$folder/passwd"; then
    echo "systemd-resolve:x:$id:$id::/:/usr/sbin/nologin" >>"$folder/passwd"
    echo "systemd-resolve:x:$id:" >>"$folder/group"
fi
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/group" /etc/group
mkdir -p /etc/systemd /run/systemd
mount -t tmpfs none /etc/systemd
mount -t tmpfs none /run/systemd
mkdir -p /etc/systemd/resolved.conf.d /run/systemd/resolve
cp "$folder"/*.conf /etc/systemd/resolved.conf.d/
chown systemd-resolve: /run/systemd/resolve
if [ -x /lib/systemd/systemd-resolved ]; then
    exec /lib/systemd/systemd-resolved
fi
cached=$(dirname "$0")/../../.cache/resolved
LD_LIBRARY_PATH=$(dirname "$(find "$cached" -name 'libsystemd-shared-*.so')") exec "$cached/lib/systemd/systemd-resolved"
