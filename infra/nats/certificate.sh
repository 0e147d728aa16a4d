#!/bin/sh
# certificate.sh FOLDER HOST...: makes a certificate for a broker or client with these names or IP addresses.
# Writes HOST.crt and HOST.key, named after the first (90 days), signed by the ca.crt and ca.key in FOLDER, which it
# makes first if they are not there. ca.crt goes to all; ca.key stays with whoever makes certificates. Needs openssl.
set -eu
case "${1:-}" in
  -h|--help) sed -n '2,4s/^# //p' "$0"; exit ;;
  -*) echo "certificate.sh: there is no option '$1' (--help says what there is)" >&2; exit 2 ;;
esac
[ $# -ge 2 ] || { echo 'certificate.sh: name a folder and at least one host' >&2; exit 2; }
folder=$1
shift
name=$1
hosts=
for host in "$@"; do
  case $host in
    *:*) kind=IP ;;
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;
  esac
  hosts="$hosts${hosts:+,}$kind:$host"
done

umask 077
mkdir -p "$folder"
cd "$folder"
if [ ! -e ca.key ]; then
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj '/CN=Ask the Expert' -out ca.crt
fi
openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"
openssl req -new -key "$name.key" -subj "/CN=$name" -out "$name.csr"
printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$hosts" > "$name.ext"
openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days 90 \
  -extfile "$name.ext" -out "$name.crt" 2> "$name.log" || { cat "$name.log" >&2; exit 1; }
rm "$name.csr" "$name.ext" "$name.log"
