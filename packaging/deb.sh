#!/usr/bin/env bash
# Builds dist/consuldns_<version>_<architecture>.deb from the standalone binary, which
# packaging/binary.sh has built. It needs dpkg-deb.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
version=$("$python" -c 'import consuldns; print(consuldns.__version__)')
architecture=$(dpkg --print-architecture)
archive="dist/consuldns-$version-linux-$(uname -m).tar.gz"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

install -d "$root/usr/lib/consuldns" "$root/usr/bin" "$root/usr/share/doc/consuldns" "$root/DEBIAN"
tar --strip-components=1 -C "$root/usr/lib/consuldns" -xzf "$archive"
mv "$root/usr/lib/consuldns/share/"* "$root/usr/share/"
rmdir "$root/usr/lib/consuldns/share"
find "$root/usr/share/man" -name '*.1' -exec gzip -9n {} +
install -Dm644 -t "$root/lib/systemd/system" "$root/usr/lib/consuldns/systemd/"consuldns.*
install -Dm644 -t "$root/etc/consuldns" "$root/usr/lib/consuldns/consuldns.toml"
rm -r "$root/usr/lib/consuldns/systemd" "$root/usr/lib/consuldns/consuldns.toml"
mv "$root/usr/lib/consuldns/LICENSE" "$root/usr/share/doc/consuldns/copyright"
mv "$root/usr/lib/consuldns/README.md" "$root/usr/share/doc/consuldns/"
ln -s ../lib/consuldns/consuldns "$root/usr/bin/consuldns"

# The C library that the binary was built with is the oldest that it runs with.
glibc=$(ldd --version | sed -n '1s/.* //p')
cat > "$root/DEBIAN/control" <<CONTROL
Package: consuldns
Version: $version
Architecture: $architecture
Maintainer: The consuldns authors <consuldns@example.org>
Section: net
Priority: optional
Depends: libc6 (>= $glibc), passwd
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Description: DNS server in front of HashiCorp Consul
 Answers names of Consul's services, nodes and prepared queries, reverse names from the KV tree, and
 names of Kubernetes services, and keeps answering while Consul is away. A worker that syncs the
 services of a Kubernetes cluster to Consul is built in.
CONTROL
echo /etc/consuldns/consuldns.toml > "$root/DEBIAN/conffiles"
install -m755 packaging/debian/* "$root/DEBIAN/"
file="dist/consuldns_${version}_$architecture.deb"
dpkg-deb --root-owner-group --build "$root" "$file" >/dev/null
echo "$file ($(du -h "$file" | cut -f1))"
