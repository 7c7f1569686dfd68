// The picture with its boxes, and the list of lines. Highlighting works in both directions.
import { $ } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";
const SURE = 0.95;
const FAIR = 0.8;

const tone = (score) => (score >= SURE ? "sure" : score >= FAIR ? "fair" : "doubtful");
export const percent = (score) => `${Math.floor(score * 1000) / 10} %`;

function element(parent, name, attributes, text) {
  const made = parent.appendChild(document.createElementNS(parent.namespaceURI, name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Highlight a line and its box. from: the side that the reader points at; the other side scrolls into view. */
function light(index, from) {
  for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
  for (const pair of document.querySelectorAll(`[data-line="${index}"]`)) {
    pair.classList.add("lit");
    if (pair !== from && from) pair.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

function drawSheet(sheet, picture, lines, shown) {
  const svg = sheet.appendChild(document.createElementNS(SVG, "svg"));
  svg.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
  svg.setAttribute("preserveAspectRatio", shown ? "none" : "xMidYMin");
  svg.setAttribute("aria-hidden", "true"); // the list of lines has the same content
  lines.forEach(({ box, score, text }, index) => {
    if (!box) return;
    if (!shown) drawText(svg, box, text);
    const polygon = element(svg, "polygon", { points: box.join(" "), class: tone(score), "data-line": index });
    element(polygon, "title", {}, `${text} (${percent(score)})`);
    polygon.onpointerenter = () => light(index);
    polygon.onclick = () => choose(index);
  });
}

/** A line's text at its position, for pictures that the browser cannot show. */
function drawText(svg, [[x, y], [right, rightY], , [downX, downY]], text) {
  const height = Math.hypot(downX - x, downY - y);
  const angle = (Math.atan2(rightY - y, right - x) * 180) / Math.PI;
  const place = `translate(${x} ${y}) rotate(${angle})`;
  const size = { "font-size": height * 0.75, textLength: Math.hypot(right - x, rightY - y) };
  element(svg, "text", { y: height * 0.78, transform: place, lengthAdjust: "spacingAndGlyphs", ...size }, text);
}

function drawLines(lines) {
  const list = $("lines");
  list.replaceChildren();
  lines.forEach(({ text, score }, index) => {
    const item = element(list, "li", { role: "option", class: tone(score), "data-line": index, tabindex: index ? -1 : 0 });
    item.setAttribute("aria-selected", "false");
    element(item, "span", { class: "at", "aria-hidden": "true" }, index + 1);
    element(item, "span", { class: "said" }, text);
    element(item, "span", { class: "score" }, percent(score));
    item.onpointerenter = () => light(index);
    item.onfocus = () => light(index, item);
    item.onclick = () => choose(index, false);
  });
}

/** The focused line, for arrow keys. Clicking a box focuses its line; clicking a line shows its box. */
function choose(index, focus = true) {
  for (const item of $("lines").children) {
    const chosen = Number(item.dataset.line) === index;
    item.tabIndex = chosen ? 0 : -1;
    item.setAttribute("aria-selected", chosen);
    if (chosen && focus) item.focus();
    if (chosen) light(index, item);
  }
}

const STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

export function startOverlay() {
  $("lines").onkeydown = (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const at = Number(document.activeElement.dataset.line ?? 0) + step;
    choose(Math.max(0, Math.min($("lines").children.length - 1, at)));
  };
  $("show-boxes").onchange = (event) => $("stage-picture").classList.toggle("no-boxes", !event.target.checked);
  $("zoom").onclick = () => {
    const actual = $("stage-picture").classList.toggle("actual");
    $("zoom").setAttribute("aria-pressed", actual);
  };
}

/** image: a loaded image, or null to draw the text instead. Returns whether it is the picture that was read. */
export function drawPicture(image, { picture, lines }) {
  const same = image && Math.abs(image.naturalWidth / image.naturalHeight - picture.width / picture.height) < 0.02;
  const sheet = document.createElement("div");
  sheet.className = same ? "sheet" : "sheet lost";
  if (same) sheet.append(image);
  drawSheet(sheet, picture, lines, same);
  $("stage-picture").replaceChildren(sheet);
  drawLines(lines);
  return Boolean(same);
}
