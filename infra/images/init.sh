#!/bin/sh
# Fetches tini, which hands signals on and reaps orphans, from Debian for one target platform: init.sh amd64|arm64
set -eu

case "${1:-}" in
  amd64 | arm64) ;;
  *) echo "init.sh: the target architecture must be amd64 or arm64, not '${1:-}'" >&2; exit 1 ;;
esac

dpkg --add-architecture "$1"
apt-get update -q
apt-get download -q "tini:$1"
dpkg-deb --extract tini_*.deb package
# The one without libraries needs none of the image's.
cp package/usr/bin/tini-static tini
