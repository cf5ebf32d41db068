#!/usr/bin/env bash
# Makes the keys and certificates of the tests anew. They are good for nothing else, and until 2120.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/index"
cat > "$work/config" <<END
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
CN = supplied
O = optional
END

# name, subject, issuer (or -selfsign), extensions, year of the end
issue () {
  printf '%b\n' "$4" > "$work/extensions"
  openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
  openssl req -new -key "$1.key" -subj "$2" -out "$work/request"
  local signer=(-cert "$3.pem" -keyfile "$3.key")
  [ "$3" != "$1" ] || signer=(-selfsign -keyfile "$1.key")
  openssl ca -batch -notext -config "$work/config" "${signer[@]}" -in "$work/request" -out "$1.pem" \
    -extfile "$work/extensions" -startdate 20200101000000Z -enddate "${5:-2120}0101000000Z" 2> /dev/null
}

authority='basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\nsubjectKeyIdentifier=hash'
user='extendedKeyUsage=clientAuth'
issue ca '/CN=Test CA' ca "$authority"
issue server '/CN=127.0.0.1' ca 'subjectAltName=IP:127.0.0.1,DNS:localhost'
issue client '/CN=app/O=Example' ca "$user"
issue other '/CN=other/O=Example' ca "$user"
issue expired '/CN=app/O=Example' ca "$user" 2021
issue self-signed '/CN=app' self-signed "$user"
issue intermediate '/CN=Test Intermediate CA' ca "$authority"
issue leaf '/CN=app/O=Example' intermediate "$user"
cat leaf.pem intermediate.pem > chained.pem
mv leaf.key chained.key
openssl pkcs8 -topk8 -in client.key -passout pass:passphrase -out encrypted.key
rm leaf.pem intermediate.pem intermediate.key
