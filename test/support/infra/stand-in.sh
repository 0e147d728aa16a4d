#!/usr/bin/env bash
# stand-in.sh docker|podman|buildah: makes a stand-in for the base of infra/images, under its name, for machines that
# reach packages of Debian and npm but no registry of images. Debian comes by debootstrap (as root), Node from
# node_modules, npm from its package. Only for tests: what is shipped starts from the real one.
set -euo pipefail
engine=$1
cd "$(dirname "$0")/../../.."
name=$(sed -n 's/^FROM \(.*\) AS service$/\1/p' infra/images/Dockerfile)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/root

debootstrap --variant=minbase bookworm "$root"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*

install -m 755 node_modules/node/bin/node "$root/usr/local/bin/node"
npm pack --silent --pack-destination "$folder" npm@11
mkdir -p "$root/usr/local/lib/node_modules"
tar -xzf "$folder"/npm-*.tgz -C "$root/usr/local/lib/node_modules"
mv "$root/usr/local/lib/node_modules/package" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"

# What this machine trusts and where its packages come from.
certificates=/etc/ssl/certs/ca-certificates.crt
if [ -e $certificates ]; then
  install -D -m 644 $certificates "$root$certificates"
  mkdir -p "$root/usr/local/etc"
  printf 'cafile=%s\nregistry=%s\n' $certificates "$(npm config get registry)" > "$root/usr/local/etc/npmrc"
fi

chroot "$root" useradd --uid 1000 --user-group --create-home node
printf '#!/bin/sh\nexec "$@"\n' > "$root/usr/local/bin/docker-entrypoint.sh"
chmod 755 "$root/usr/local/bin/docker-entrypoint.sh"
tar -C "$root" -cf "$folder/root.tar" .

case $engine in
  buildah)
    container=$(buildah from scratch)
    buildah add -q "$container" "$folder/root.tar" /
    buildah config --entrypoint '["docker-entrypoint.sh"]' --cmd node "$container"
    buildah commit -q --rm "$container" "$name"
    ;;
  *) "$engine" import -c 'ENTRYPOINT ["docker-entrypoint.sh"]' -c 'CMD ["node"]' "$folder/root.tar" "$name" ;;
esac
