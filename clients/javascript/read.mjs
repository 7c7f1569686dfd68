// node read.mjs FILE|URL [NAME=VALUE ...]    prints the text; OCR_URL, OCR_USER and OCR_SECRET as in README.md
import { readFile } from "node:fs/promises";
import { OcrError, read } from "./ocr.mjs";

const [picture, ...more] = process.argv.slice(2);
const { OCR_URL: url = "http://127.0.0.1:8081/ocr", OCR_USER: user, OCR_SECRET: secret } = process.env;
if (!picture || !user || !secret) {
  console.error("usage: OCR_USER=... OCR_SECRET=... node read.mjs FILE|URL [NAME=VALUE ...]");
  process.exit(2);
}
const options = Object.fromEntries(more.map((option) => option.split(/=(.*)/s, 2)));
try {
  const given = /^https?:/i.test(picture) ? picture : new Blob([await readFile(picture)]);
  console.log((await read(given, { url, user, secret, options })).result);
} catch (error) {
  console.error(error instanceof OcrError ? `${error.message} (${error.answer.error})` : error);
  process.exitCode = error instanceof OcrError ? 1 : 3;
}
