// The tabs for programmers: curl, Python, the exact request and the exact response.
import { account } from "./account.js";
import { $, copy } from "./page.js";
import { curl, python } from "./snippets.js";
import { word } from "./words.js";

const TABS = ["curl", "python", "request", "answer"];
let chosen = "curl";
let exchange = null;

function code() {
  const { answer, name } = exchange;
  const secret = ($("with-secret").checked && account()?.secret) || word("secret_here");
  const url = new URL(answer.path, location.href).href;
  if (chosen === "curl") return curl(url, answer.fields, name, secret);
  if (chosen === "python") return python(url, answer.fields, name, secret);
  return JSON.stringify(chosen === "request" ? answer.fields : answer.body, null, 2);
}

function show() {
  if (!exchange) return;
  for (const tab of TABS) {
    $(`tab-${tab}`).setAttribute("aria-selected", tab === chosen);
    $(`tab-${tab}`).tabIndex = tab === chosen ? 0 : -1;
  }
  $("panel").setAttribute("aria-labelledby", `tab-${chosen}`);
  $("panel-hint").textContent = word(`hint_${chosen}`);
  $("with-secret-label").hidden = chosen === "request" || chosen === "answer";
  $("code").textContent = code();
}

/** answer: a result of send.js. name: of the picture's file. */
export function drawPrograms(answer, name) {
  exchange = { answer, name };
  show();
}

export function startPrograms() {
  for (const tab of TABS) {
    $(`tab-${tab}`).onclick = () => {
      chosen = tab;
      show();
    };
  }
  document.querySelector(".tabs").onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    chosen = TABS[(TABS.indexOf(chosen) + step + TABS.length) % TABS.length];
    show();
    $(`tab-${chosen}`).focus();
  };
  $("with-secret").onchange = show;
  $("copy-code").onclick = () => copy(code());
  document.addEventListener("language", show);
}
