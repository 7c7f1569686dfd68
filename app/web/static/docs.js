// The API page: explains signing with an example and signs and sends your test requests.
import { askAccount } from "./account.js";
import { $, startPage } from "./page.js";
import { Unanswered, read } from "./send.js";
import { sign, stringToSign } from "./sign.js";
import { tip, word } from "./words.js";

/** The parsed flat JSON object; null after showing why it is invalid. */
function flat(text, problem) {
  try {
    const fields = JSON.parse(text);
    const simple = (value) => ["string", "boolean"].includes(typeof value) || Number.isInteger(value);
    if (Array.isArray(fields) || !Object.values(fields).every(simple)) throw new TypeError(word("not_flat"));
    problem.hidden = true;
    return fields;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    return null;
  }
}

async function workExample() {
  const fields = flat($("example-fields").value, $("example-problem"));
  if (!fields || !$("example-secret").value) return;
  $("example-string").textContent = stringToSign(fields);
  $("example-sign").textContent = await sign($("example-secret").value, fields);
}

async function tryIt(event) {
  event.preventDefault();
  const { fields, image } = event.target.elements;
  const { picture_url: url, ...options } = flat(fields.value, $("try-problem")) ?? {};
  if (!$("try-problem").hidden) return;
  const account = await askAccount();
  if (!account) return;
  try {
    const source = image.files[0] ? { blob: image.files[0] } : { url };
    show(await read(source, account, options, { onStage: () => {}, signal: new AbortController().signal }));
  } catch (error) {
    $("try-problem").textContent = error instanceof Unanswered ? word(error.key, error.values) : error.message;
    $("try-problem").hidden = false;
  }
}

function show({ http, body, fields }) {
  $("try-string").textContent = stringToSign(fields);
  $("try-request").textContent = JSON.stringify(fields, null, 2);
  $("try-http").textContent = `HTTP ${http}`;
  $("try-answer").textContent = JSON.stringify(body, null, 2);
  $("try-result").hidden = false;
}

startPage();
$("example-fields").oninput = workExample;
$("example-secret").oninput = workExample;
$("try-form").onsubmit = tryIt;
document.addEventListener("language", () => {
  for (const cell of document.querySelectorAll("[data-tip]")) cell.textContent = tip(cell.dataset.tip);
});
