// Signed requests to the service, with progress.
import { newNonce, sha256, sign } from "./sign.js";
import { language } from "./words.js";

let clockAhead = 0; // seconds that the server's clock is ahead of this machine's, once known

/** There is no response of the service. key: of the message in words.yaml. */
export class Unanswered extends Error {
  constructor(key, values) {
    super(key);
    Object.assign(this, { key, values });
  }
}

/**
 * source: {blob, name} or {url}. options: request fields. onStage(stage, percent). signal: of an AbortController.
 * Returns {http, body, retryAfter, fields, path, ms}; throws Unanswered, or AbortError if the signal aborts.
 */
export async function read(source, account, options, watch) {
  const picture = source.blob ? { picture_sha256: await sha256(source.blob) } : { picture_url: source.url };
  return signed(account, { ...picture, ...options }, (fields) => post("/ocr", fields, source.blob, watch));
}

/** A signed GET with the fields in the query. Returns like read. */
export const ask = (path, account, fields) => signed(account, fields, (all) => get(path, all));

/** Send the request, and once more with a corrected timestamp if only the clock was wrong. */
async function signed({ user, secret }, given, send) {
  for (let tries = 2; ; tries--) {
    const timestamp = Math.floor(Date.now() / 1000) + clockAhead;
    const fields = { username: user, timestamp, nonce: newNonce(), ...given };
    fields.sign = await sign(secret, fields);
    const answer = await send(fields);
    if (answer.body.error !== "timestamp_expired" || tries === 1) return { ...answer, fields };
    clockAhead = Math.round((answer.date - Date.now()) / 1000);
  }
}

/** Exchange a link's {username, code} for the user's secret. Unsigned, because the secret is not known yet. */
export const exchange = (fields) =>
  answerOf("/sign-in", "/sign-in", { method: "POST", body: JSON.stringify(fields), headers: { "Content-Type": "application/json" } });

const get = (path, fields) => answerOf(path, `${path}?${new URLSearchParams(fields)}`);

async function answerOf(path, url, { headers, ...options } = {}) {
  const answer = await fetch(url, { ...options, headers: { "Accept-Language": language(), ...headers } }).catch(() => {
    throw new Unanswered("not_reached");
  });
  const body = await answer.json().catch(() => {
    throw new Unanswered("not_understood", { http: answer.status });
  });
  return { http: answer.status, body, path, date: Date.parse(answer.headers.get("Date")) };
}

function body(fields, blob) {
  if (!blob) return JSON.stringify(fields);
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("image", blob, "picture");
  return form;
}

/** XMLHttpRequest, because fetch does not report upload progress. */
function post(path, fields, blob, { onStage, signal }) {
  signal.throwIfAborted(); // aborted while the picture was being prepared
  const { promise, resolve, reject } = Promise.withResolvers();
  const began = performance.now();
  const request = new XMLHttpRequest();
  request.open("POST", path);
  request.setRequestHeader("Accept-Language", language());
  if (!blob) request.setRequestHeader("Content-Type", "application/json");
  request.upload.onprogress = (sent) => onStage("sending", Math.round((100 * sent.loaded) / sent.total));
  request.upload.onload = () => onStage(blob ? "reading" : "fetching");
  request.onerror = () => reject(new Unanswered("not_reached"));
  request.onabort = () => reject(new DOMException("", "AbortError"));
  request.onload = () => {
    try {
      const answer = JSON.parse(request.responseText);
      const header = (name) => request.getResponseHeader(name);
      resolve({
        http: request.status, body: answer, path, ms: performance.now() - began,
        retryAfter: Number(header("Retry-After")), date: Date.parse(header("Date")),
      });
    } catch {
      reject(new Unanswered("not_understood", { http: request.status }));
    }
  };
  signal.onabort = () => request.abort();
  request.send(body(fields, blob));
  return promise;
}
