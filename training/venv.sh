# Sourced by test.sh and train.sh: makes training/.venv, again whenever requirements.txt changed or an earlier attempt
# broke off. PYTHON chooses another interpreter than python3.
python=${PYTHON:-python3}
stamp=.venv/requirements.txt

[ "${BASH_SOURCE[0]}" != "$0" ] || { echo "$0: is sourced by test.sh and train.sh" >&2; exit 2; }

fail() {
  echo "$0: $1" >&2
  exit 1
}

if [ ! -x .venv/bin/python ] || ! cmp -s requirements.txt "$stamp"; then
  command -v "$python" >/dev/null || fail "$python is not installed; on Debian: apt install python3 python3-venv"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, $python is $("$python" -V 2>&1)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python's venv module is missing; on Debian: apt install python3-venv"
  echo "$0: making training/.venv; PyTorch takes some minutes and 5 GB" >&2
  "$python" -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
  cp requirements.txt "$stamp"
fi
