#!/usr/bin/env bash
# Signatures against the real Python `model_signing`, both ways, in a throw-away
# environment: each accepts the other's, and both refuse a changed file.
# model_signing needs pyOpenSSL, which it does not declare.
# Needs openssl, and zoo and infer built in $1 (default target/debug).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=$(realpath "${1:-$root/target/debug}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet model-signing==1.1.1 pyOpenSSL==26.4.0
theirs=$work/venv/bin/model_signing

cd "$work"
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl ec -in key.pem -pubout -out key.pub 2>/dev/null
mkdir -p zoo/models
cp -r "$root/zoo/models/mnist-cnn" zoo/models/
"$bin/zoo" index --zoo zoo >/dev/null
version=zoo/models/mnist-cnn/1
signature=zoo/signatures/mnist-cnn/1/model.sig
ours() { "$bin/infer" verify mnist-cnn@1 --zoo zoo --datasets "$root/datasets" --key key.pub >/dev/null; }
python() { "$theirs" verify key "$version" --signature "$signature" --public_key key.pub >/dev/null 2>&1; }
refused() { if "$@"; then echo "$* accepted what it must refuse"; exit 1; fi; }

"$bin/zoo" sign mnist-cnn@1 --key key.pem --zoo zoo >/dev/null
ours && python
echo "our signature: accepted by infer and by model_signing"
printf ' ' >>$version/README.md
refused ours
refused python
echo "a changed file: refused by both"
cp "$root/$version/README.md" $version/README.md
"$theirs" sign key "$version" --signature "$signature" --private_key key.pem >/dev/null
ours && python
echo "the signature of model_signing: accepted by infer and by model_signing"
