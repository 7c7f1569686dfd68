// Request signatures with Web Crypto. Test vectors compare them with app/authenticate.py.
const UNSIGNED = new Set(["sign", "picture_base64"]);
const bytes = (text) => new TextEncoder().encode(text);
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** RFC 3986: percent-encode all characters except A-Z a-z 0-9 - . _ ~ */
const encoded = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);

export function stringToSign(fields) {
  const names = Object.keys(fields).filter((name) => !UNSIGNED.has(name));
  return names.sort().map((name) => `${encoded(name)}=${encoded(String(fields[name]))}`).join("&");
}

export async function sign(secret, fields) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes(secret), algorithm, false, ["sign"]);
  return hex(await crypto.subtle.sign("HMAC", key, bytes(stringToSign(fields))));
}

export const sha256 = async (blob) => hex(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));

/** 16 random characters of the nonce alphabet. */
export const newNonce = () =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(12)))).replaceAll("+", "-").replaceAll("/", "_");
