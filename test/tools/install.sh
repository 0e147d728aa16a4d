#!/usr/bin/env bash
# Installs what tests use beside the product: from Debian (as root) Chromium, strace and promtool, from PyPI
# requirements.txt, from npm openapi-ts, with the TypeScript that it works with.
# Without it the tests that need them skip and say so; in CI they fail.
set -euo pipefail
[ $# -eq 0 ] || { echo "$0: takes no arguments; it says itself what it does" >&2; exit 2; }
cd "$(dirname "$0")/../.."
tools=.cache/tools

if [ ! -x /usr/bin/chromium ] || [ ! -x /usr/bin/strace ] || [ ! -x "$tools/usr/bin/promtool" ]; then
  apt-get update -q
fi
if [ ! -x /usr/bin/chromium ]; then apt-get install -y -q --no-install-recommends chromium; fi
if [ ! -x /usr/bin/strace ]; then apt-get install -y -q --no-install-recommends strace; fi

if ! cmp -s test/tools/requirements.txt "$tools/requirements.txt"; then
  rm -rf "$tools"
  ${PYTHON:-python3} -m venv "$tools"
  "$tools/bin/pip" install -q --disable-pip-version-check -r test/tools/requirements.txt
  cp test/tools/requirements.txt "$tools/"
fi

for file in package.json package-lock.json; do
  if cmp -s "test/tools/openapi-ts/$file" ".cache/openapi-ts/$file"; then continue; fi
  rm -rf .cache/openapi-ts
  mkdir -p .cache
  cp -r test/tools/openapi-ts .cache/
  npm ci --prefix .cache/openapi-ts --ignore-scripts --loglevel=error
done

# Unpacked, not installed: Debian's package would start a server.
if [ ! -x "$tools/usr/bin/promtool" ]; then
  (cd "$tools" && apt-get download -q prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb)
fi
