// The console: take a picture, sign and send the request, show the text.
import { askAccount } from "./account.js";
import { options, startOptions } from "./options.js";
import { startOverlay } from "./overlay.js";
import { $, startPage, toast } from "./page.js";
import { fit, load, startPictures } from "./picture.js";
import { drawProblem, hideProblem } from "./problem.js";
import { startPrograms } from "./programs.js";
import { drawResult, hideResult, startResult } from "./result.js";
import { read } from "./send.js";
import { number, word } from "./words.js";

let latest = null; // the picture that options and "try again" apply to
let asked = ""; // the options of its last request
let running = null; // the AbortController of the current request
let ticking;

function nameOf(source) {
  if (source.name) return source.name;
  const last = new URL(source.url).pathname.split("/").pop() || source.url;
  try {
    return decodeURIComponent(last);
  } catch {
    return last; // not encoded as UTF-8
  }
}

/** Load a picture from its URL only after the service has accepted it, and with a short time limit. */
function loaded(source) {
  const givenUp = new Promise((settle) => setTimeout(settle, source.blob ? 60_000 : 5_000, null));
  source.image ??= Promise.race([load(source), givenUp]);
  return source.image;
}

async function readPicture(source) {
  latest = source;
  running?.abort();
  running = null;
  stage(null);
  hideProblem();
  if (source.blob?.type && !source.blob.type.startsWith("image/")) {
    drawProblem({ key: "not_a_picture", values: { name: source.name } });
    return;
  }
  const account = await askAccount();
  if (!account || latest !== source) return; // the reader chose another picture while signing in
  const control = new AbortController();
  running = control;
  hideResult();
  stage("preparing");
  try {
    const { blob, scaled } = source.blob ? await fit(source.blob, await loaded(source)) : {};
    const sending = { onStage: stage, signal: control.signal };
    const wanted = options();
    asked = JSON.stringify(wanted);
    const answer = await read(blob ? { blob } : source, account, wanted, sending);
    const image = answer.body.status_code === 6 ? await loaded(source) : null;
    if (running !== control) return; // the reader chose another picture meanwhile
    if (answer.body.status_code === 6) succeed(answer, { image, scaled, name: nameOf(source) });
    else drawProblem(answer);
  } catch (error) {
    if (running === control && error.name !== "AbortError") drawProblem(error);
  } finally {
    if (running === control) stage(null);
  }
}

function succeed(answer, picture) {
  document.body.classList.add("done");
  drawResult(answer, picture);
  toast(word("read_done", { count: number(answer.body.lines.length), seconds: number(answer.ms / 1000, 2) }));
}

/** Show the current stage as text and as a bar; null hides both. */
function stage(name, percent) {
  clearInterval(ticking);
  $("progress").hidden = name === null;
  document.body.classList.toggle("busy", name !== null);
  if (name === null) return;
  const began = performance.now();
  const say = () => {
    const seconds = number((performance.now() - began) / 1000, 1);
    $("stage").textContent = word(`stage_${name}`, { percent, seconds });
  };
  say();
  if (percent === undefined) $("bar").removeAttribute("value");
  else $("bar").value = percent;
  if (name === "reading" || name === "fetching") ticking = setInterval(say, 200);
}

startPage();
startOverlay();
startResult();
startPrograms();
startPictures(readPicture);
startOptions(() => latest && asked !== JSON.stringify(options()) && readPicture(latest));
$("again").onclick = () => readPicture(latest);
$("cancel").onclick = () => running?.abort();
