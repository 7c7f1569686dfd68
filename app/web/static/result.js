// The result: recognised text to copy, and figures.
import { drawPicture, percent } from "./overlay.js";
import { $, copy } from "./page.js";
import { drawPrograms } from "./programs.js";
import { limits, number, word } from "./words.js";

const PARTS = ["network", "queue", "fetch", "decode", "ocr", "rest"];
let shown = null;

function entry(list, term, value, className, small) {
  const group = list.appendChild(document.createElement("div"));
  if (className) group.className = className;
  group.appendChild(document.createElement("dt")).textContent = term;
  const detail = group.appendChild(document.createElement("dd"));
  detail.textContent = value;
  if (small) detail.appendChild(document.createElement("small")).textContent = small;
}

function drawFigures({ body, ms }) {
  const scores = body.lines.map((line) => line.score);
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const { limit, remaining } = body.quota;
  const list = $("figures");
  list.replaceChildren();
  entry(list, word("time_total"), word("seconds", { value: number(ms / 1000, 2) }));
  if (limit === null) entry(list, word("quota_left"), word("unlimited"));
  else entry(list, word("quota_left"), number(remaining), "", word("quota_of", { limit: number(limit) }));
  entry(list, word("mean_score"), scores.length ? percent(mean) : "-");
  entry(list, word("model"), body.model, "model");
  drawTimes(body.elapsed_ms, ms);
}

/** The time of each stage, as a bar and as text; stages without time are omitted. */
function drawTimes({ total, ...elapsed }, ms) {
  const known = Object.values(elapsed).reduce((sum, part) => sum + part, 0);
  const times = { ...elapsed, rest: Math.max(0, total - known), network: Math.max(0, Math.round(ms - total)) };
  $("times").replaceChildren();
  $("spent").replaceChildren();
  for (const part of PARTS.filter((name) => times[name] > 0)) {
    entry($("times"), word(`time_${part}`), `${number(times[part])} ms`, `part-${part}`);
    const piece = $("spent").appendChild(document.createElement("i"));
    piece.className = `part-${part}`;
    piece.style.flexGrow = times[part];
  }
}

function drawNote(same, scaled) {
  const megabytes = Math.round(limits.max_picture_bytes / 2 ** 20);
  const megapixels = Math.round(limits.max_picture_pixels / 1e6);
  const [width, height] = scaled ?? [];
  $("picture-note").hidden = same && !scaled;
  $("picture-note").textContent = same ? word("picture_scaled", { width, height, megabytes, megapixels }) : word("picture_lost");
}

function drawWords() {
  if (!shown) return;
  const { answer, scaled, name, same } = shown;
  const { lines, picture } = answer.body;
  const title = document.createElement("b");
  title.textContent = name;
  $("picture-name").replaceChildren(title, `${number(picture.width)} × ${number(picture.height)} · ${picture.format}`);
  $("count").textContent = word("count", { count: number(lines.length) });
  drawNote(same, scaled);
  drawFigures(answer);
}

/** answer: a successful result of send.js. image: loaded, or null. scaled: see fit() in picture.js. */
export function drawResult(answer, { image, scaled, name }) {
  $("result").hidden = false; // before drawing the boxes, which need the layout
  shown = { answer, scaled, name, same: drawPicture(image, answer.body) };
  $("lines").hidden = !answer.body.lines.length;
  $("no-text").hidden = !$("lines").hidden;
  drawWords();
  drawPrograms(answer, name);
}

export function hideResult() {
  $("result").hidden = true;
}

function save(extension, type, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = `${shown.name.replace(/\.\w{1,5}$/, "")}.${extension}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function startResult() {
  $("copy").onclick = () => copy(shown.answer.body.result);
  $("save-txt").onclick = () => save("txt", "text/plain;charset=utf-8", `${shown.answer.body.result}\n`);
  $("save-json").onclick = () => save("json", "application/json", `${JSON.stringify(shown.answer.body, null, 2)}\n`);
  document.addEventListener("language", drawWords);
}
