#!/usr/bin/env bash
# `zoo push` and `zoo pull` against a real registry: Debian's `docker-registry`, on loopback.
# Needs it, curl, python3, and zoo built in $1 (default target/debug).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
zoo=$(realpath "${1:-$root/target/debug}")/zoo
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >config.yml <<END
version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: $work/registry }, delete: { enabled: true } }
http: { addr: "127.0.0.1:$port" }
END
docker-registry serve config.yml >registry.log 2>&1 &
server=$!
for _ in $(seq 100); do curl -sf "http://127.0.0.1:$port/v2/" >/dev/null && break; sleep 0.1; done

to=127.0.0.1:$port/zoo
for version in "$root"/zoo/models/*/*; do
    number=$(basename "$version")
    name=$(basename "$(dirname "$version")")
    "$zoo" push "$name@$number" "$to/$name" --plain-http --zoo "$root/zoo" >/dev/null
    "$zoo" push "$name@$number" "$to/$name:stable" --plain-http --zoo "$root/zoo" --json >"$name.json"
    "$zoo" pull "$to/$name:$number" --plain-http --zoo empty >/dev/null
    "$zoo" pull "$to/$name:stable" --plain-http --zoo empty >/dev/null
done
diff -r "$root/zoo/models" empty/models
"$zoo" verify --zoo empty --datasets "$root/datasets" >/dev/null
echo "push, pull into an empty zoo: the same files, zoo verify ok"

# Layers are the files themselves: the registry knows them by the manifest's sha256.
sha256=$(sha256sum "$root/zoo/models/mnist-lite/1/model.onnx" | cut -d' ' -f1)
curl -sf "http://127.0.0.1:$port/v2/zoo/mnist-lite/blobs/sha256:$sha256" | cmp - "$root/zoo/models/mnist-lite/1/model.onnx"
curl -sf -H 'accept: application/vnd.oci.image.manifest.v1+json' "http://127.0.0.1:$port/v2/zoo/mnist-lite/manifests/1" |
    python3 -c '
import json, sys
pack = json.load(sys.stdin)
assert pack["artifactType"] == "application/vnd.cncf.model.manifest.v1+json", pack
assert pack["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
layers = {l["annotations"]["org.cncf.model.filepath"]: l for l in pack["layers"]}
assert layers["model.onnx"]["mediaType"] == "application/vnd.cncf.model.weight.v1.raw"
assert layers["model.onnx"]["digest"] == "sha256:" + sys.argv[1]
' "$sha256"
echo "the pack has the form of a CNCF ModelPack, its layers the sha256 of the files"

refused() { # expected text, then the command
    local expected=$1 code=0
    shift
    "$@" >out 2>&1 || code=$?
    if [ "$code" != 2 ] || ! grep -q "$expected" out; then
        echo "$* (exit $code), expected 2 and '$expected':"; cat out; exit 1
    fi
}
refused "manifest unknown\|not found\|Not found" "$zoo" pull "$to/mnist-lite:9" --plain-http --zoo empty
refused "expected HOST" "$zoo" pull "$to/Mnist:1" --plain-http --zoo empty

# Another version under the same number is refused, and nothing of it stays.
cp -r "$root/zoo" other
printf ' ' >>other/models/mnist-lite/1/README.md
refused "README.md: changed" "$zoo" push mnist-lite@1 "$to/other" --plain-http --zoo other
sed -i 's/^description: .*/description: another one/' empty/models/mnist-lite/1/manifest.yaml
refused "another version 1 is there" "$zoo" pull "$to/mnist-lite:1" --plain-http --zoo empty

# A blob that the registry lost or changed.
blob=$(find registry -path "*${sha256:0:2}/$sha256/data")
cp "$blob" kept
printf 'x' | dd of="$blob" bs=1 seek=1000 conv=notrunc status=none
refused "sha256\|igest" "$zoo" pull "$to/mnist-lite:1" --plain-http --zoo fresh
test -z "$(ls fresh/models)"
cp kept "$blob"
"$zoo" pull "$to/mnist-lite:1" --plain-http --zoo fresh >/dev/null
echo "what is missing, different or damaged is refused, and leaves nothing behind"

# What was signed goes along: this registry does not list referrers, so they are under a tag.
for who in house one two; do
    openssl ecparam -name prime256v1 -genkey -noout -out $who.pem
    openssl ec -in $who.pem -pubout -out $who.pub 2>/dev/null
done
cp -r "$root/zoo" signed
"$zoo" sign mnist-lite@1 --key house.pem --zoo signed >/dev/null
"$zoo" push mnist-lite@1 "$to/signed" --plain-http --zoo signed --json | grep -q '"attestations": 3'
printf 'keys: {house: house.pub}\nsigned_by: [house]\n' >policy.yaml
printf 'keys: {one: one.pub}\nsigned_by: [one]\n' >other.yaml
code=0; "$zoo" pull "$to/signed:1" --plain-http --zoo trusting --policy other.yaml >out 2>&1 || code=$?
test "$code" = 1 && grep -q "missing: a signature by one" out && test -z "$(ls trusting/models)"
"$zoo" pull "$to/signed:1" --plain-http --zoo trusting --policy policy.yaml >/dev/null
diff -r signed/signatures trusting/signatures
"$zoo" verify --zoo trusting --datasets "$root/datasets" --policy policy.yaml --key house.pub >/dev/null
manifest=$(curl -sf -H 'accept: application/vnd.oci.image.manifest.v1+json' "http://127.0.0.1:$port/v2/zoo/signed/manifests/1" | sha256sum | cut -d' ' -f1)
curl -sf -H 'accept: application/vnd.oci.image.index.v1+json' "http://127.0.0.1:$port/v2/zoo/signed/manifests/sha256-$manifest" |
    python3 -c '
import json, sys
entries = json.load(sys.stdin)["manifests"]
assert len(entries) == 3 and all(e["artifactType"] == "application/vnd.dev.sigstore.bundle.v0.3+json" for e in entries), entries
'
echo "attestations go along, and a policy decides"

# Signed again with another key: what came before stays in the registry's list, and hides nothing.
"$zoo" sign mnist-lite@1 --key one.pem --zoo signed 2>&1 >/dev/null | grep -q "model.sig was signed with the key .*: replaced"
"$zoo" push mnist-lite@1 "$to/signed" --plain-http --zoo signed >/dev/null
for place in rotated newest; do
    policy=$(test $place = rotated && echo "--policy other.yaml" || true)
    "$zoo" pull "$to/signed:1" --plain-http --zoo $place $policy 2>out >/dev/null
    grep -q "passed over: 1 others that are called model.sig" out
    diff -r signed/signatures $place/signatures
done
"$zoo" pull "$to/signed:1" --plain-http --zoo earlier --policy policy.yaml >/dev/null 2>&1
"$zoo" verify --zoo earlier --datasets "$root/datasets" --policy policy.yaml --key house.pub >/dev/null
echo "a signature by a new key reaches whoever trusts it, and the old one whoever trusts that"
