// Attestations of a version against npm's `@sigstore/verify`, which gh and npm use: each signature fits the public key.
//
// Run by hand: npm install --prefix DIR @sigstore/verify @sigstore/bundle, then
//   NODE_PATH=DIR/node_modules node scripts/check_sigstore.mjs KEY.pub zoo/signatures/NAME/VERSION/*.sig
import { createPublicKey, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PATH}/`);
const { Verifier, toSignedEntity } = require("@sigstore/verify");
const { bundleFromJSON } = require("@sigstore/bundle");

const [keyFile, ...files] = process.argv.slice(2);
const pem = readFileSync(keyFile, "utf8");
const hint = createHash("sha256").update(pem).digest("hex");
const publicKey = createPublicKey(pem);
const trust = {
  certificateAuthorities: [],
  timestampAuthorities: [],
  tlogs: [],
  ctlogs: [],
  publicKey: (asked) => {
    if (asked !== hint) throw new Error(`signed with another key: ${asked}`);
    return { publicKey, validFor: () => true };
  },
};
// A key needs no witness: there is no certificate whose time must be known.
const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
for (const file of files) {
  const text = readFileSync(file, "utf8");
  verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(text))));
  const changed = JSON.parse(text);
  const payload = Buffer.from(changed.dsseEnvelope.payload, "base64");
  payload[payload.length - 2] ^= 1;
  changed.dsseEnvelope.payload = payload.toString("base64");
  let refused = false;
  try {
    verifier.verify(toSignedEntity(bundleFromJSON(changed)));
  } catch {
    refused = true;
  }
  if (!refused) throw new Error(`${file}: a changed payload was accepted`);
  console.log(`${file}: accepted, and refused when changed`);
}
