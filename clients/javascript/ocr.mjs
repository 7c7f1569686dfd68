// Read the text of a picture with the OCR service: Node 18 or newer, and browsers. No dependencies.
//
//   import { read } from "./ocr.mjs";
//   const answer = await read(blobOrUrl, { url, user, secret, options: { charset: "digits" } });
//   console.log(answer.result);
//
// Web Crypto works only on https:// and localhost. Everybody who can open a page can read a secret in it.

const crypto = globalThis.crypto ?? (await import("node:crypto")).webcrypto; // Node 18 has no global crypto
const utf8 = new TextEncoder();
const TRIES = 5;
// Temporary errors: rate_limited, busy, dependency_unavailable. quota_exhausted is not one: it may last a month.
const COME_BACK = [12, 17, 18];
const TIMEOUT_MS = 75_000;

/** An error response of the service: `message` is its message for people, `answer` the whole response. */
export class OcrError extends Error {
  constructor(answer, http) {
    super(answer.tips ?? `HTTP ${http}, but not from the OCR service`);
    this.answer = answer;
    this.http = http;
  }
}

/**
 * The service's response for a picture: a URL as a string, or a Blob.
 * Throws OcrError. After a TypeError of fetch or a timeout, the response may be lost and the picture read and
 * charged: decide whether to send it again.
 */
export async function read(picture, { url, user, secret, options = {} }) {
  for (let left = TRIES - 1; ; left--) {
    const response = await fetch(url, {
      method: "POST",
      body: await form(picture, { username: user, ...options }, secret),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer = parsed(await response.text());
    if (answer.status_code === 6) return answer;
    const wait_s = response.headers.get("Retry-After");
    if (!COME_BACK.includes(answer.status_code) || wait_s === null || left === 0) throw new OcrError(answer, response.status);
    await new Promise((resume) => setTimeout(resume, wait_s * 1000));
  }
}

async function form(picture, given, secret) {
  const fields = { ...given, timestamp: Math.floor(Date.now() / 1000), nonce: crypto.randomUUID() };
  if (typeof picture === "string") fields.picture_url = picture;
  else fields.picture_sha256 = hex(await crypto.subtle.digest("SHA-256", await picture.arrayBuffer()));
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, String(value));
  body.append("sign", await sign(secret, fields));
  if (typeof picture !== "string") body.append("image", picture, "picture");
  return body;
}

export async function sign(secret, fields) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", utf8.encode(secret), algorithm, false, ["sign"]);
  return hex(await crypto.subtle.sign("HMAC", key, utf8.encode(stringToSign(fields))));
}

export function stringToSign(fields) {
  return Object.keys(fields)
    .filter((name) => name !== "sign" && name !== "picture_base64")
    .sort()
    .map((name) => `${encode(name)}=${encode(fields[name])}`)
    .join("&");
}

function encode(value) {
  const left = /[!'()*]/g; // encodeURIComponent does not encode these, the signature does
  return encodeURIComponent(value).replace(left, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {}; // not JSON, for example a proxy's page
  }
}

function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
