// The usage page: a signed query of the user's figures.
import { account, askAccount } from "./account.js";
import { bars, lines } from "./charts.js";
import { $, startPage } from "./page.js";
import { Unanswered, ask } from "./send.js";
import { number, tip, word } from "./words.js";

const DAY_MS = 86_400_000;
const OURS = [5, 17, 18]; // status codes that are the service's fault
const GOOD = 6;
const EVERYBODY = "*";
let shown = null; // the response on the page

/** Figures of every day in the period, including days without requests. */
function everyDay({ from, to, days }) {
  const known = new Map(days.map((figures) => [figures.day, figures]));
  const all = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += DAY_MS) {
    const day = new Date(at).toISOString().slice(0, 10);
    all.push(known.get(day) ?? { day, requests: 0, by_code: {}, pictures: 0, characters: 0, p50_ms: null, p95_ms: null });
  }
  return all;
}

const kindOf = (code) => (code === GOOD ? "good" : OURS.includes(code) ? "ours" : "theirs");

const count = (byCode, kind) =>
  Object.entries(byCode).reduce((sum, [code, times]) => sum + (kindOf(Number(code)) === kind ? times : 0), 0);

const codes = (byCode) =>
  Object.entries(byCode).map(([code, times]) => word("usage_code", { code, times: number(times) })).join(", ");

const milliseconds = (value) => (value === null ? "-" : `${number(value)} ms`);

function tile(term, value, small) {
  const group = $("tiles").appendChild(document.createElement("div"));
  group.appendChild(document.createElement("dt")).textContent = term;
  const detail = group.appendChild(document.createElement("dd"));
  detail.textContent = value;
  if (small) detail.appendChild(document.createElement("small")).textContent = small;
  return detail;
}

/** For administrators: the table of all users, and the choice of a user. */
function drawUsers({ users, username }) {
  $("users").hidden = !users;
  $("whose-part").hidden = !users;
  if (!users) return;
  const names = users.map((user) => user.username).sort();
  const choices = [[EVERYBODY, word("usage_everybody")], ...names.map((name) => [name, name])];
  $("whose").replaceChildren(...choices.map(([value, text]) => new Option(text, value, false, value === (username ?? EVERYBODY))));
  const head = [word("user_name"), word("usage_total"), word("usage_pictures"), word("usage_characters"), word("quota_left")];
  const rows = users.map(({ username: name, enabled, requests, pictures, characters, quota }) => {
    const left = quota.limit === null ? word("unlimited") : `${number(quota.remaining)} ${quotaOf(quota)}`;
    return [enabled ? name : word("usage_disabled", { name }), ...[requests, pictures, characters].map((value) => number(value)), left];
  });
  fill($("users-table"), head, rows);
}

const quotaOf = ({ period, limit }) => word(`usage_quota_${period}`, { limit: number(limit) });

function drawTiles({ total, quota }) {
  $("tiles").replaceChildren();
  tile(word("usage_total"), number(total.requests), codes(total.by_code));
  tile(word("usage_pictures"), number(total.pictures));
  tile(word("usage_characters"), number(total.characters));
  tile(word("usage_time"), milliseconds(total.p50_ms), word("usage_p95", { time: milliseconds(total.p95_ms) }));
  if (!quota) return;
  if (quota.limit === null) {
    tile(word("quota_left"), word("unlimited"), word("usage_used", { used: number(quota.used) }));
    return;
  }
  const meter = tile(word("quota_left"), number(quota.remaining), quotaOf(quota)).appendChild(document.createElement("meter"));
  Object.assign(meter, { max: quota.limit || 1, value: quota.remaining, low: quota.limit / 10, ariaLabel: word("quota_left") });
}

function drawCharts(days) {
  const names = days.map(({ day }) => day);
  const kinds = ["good", "theirs", "ours"];
  const stacked = kinds.map((name) => ({ name, values: days.map(({ by_code }) => count(by_code, name)) }));
  const says = (index) => `${names[index]}: ${number(days[index].requests)}\n${codes(days[index].by_code)}`;
  bars($("requests"), word("usage_requests"), names, stacked, says);
  const times = ["p50", "p95"].map((name) => ({ name, values: days.map((figures) => figures[`${name}_ms`]) }));
  const takes = (index) => `${names[index]}: p50 ${milliseconds(days[index].p50_ms)}, p95 ${milliseconds(days[index].p95_ms)}`;
  lines($("latency"), word("usage_latency"), names, times, takes);
  $("codes").replaceChildren();
  for (const kind of kinds) {
    const item = $("codes").appendChild(document.createElement("li"));
    item.className = `series-${kind}`;
    item.textContent = word(`usage_${kind}`);
  }
}

function fill(table, titles, rows) {
  const row = (section, cells, tag) => {
    const made = section.appendChild(document.createElement("tr"));
    for (const cell of cells) made.appendChild(document.createElement(tag)).textContent = cell;
  };
  const [head, body] = ["thead", "tbody"].map((name) => document.createElement(name));
  row(head, titles, "th");
  for (const cells of rows) row(body, cells, "td");
  table.replaceChildren(head, body);
}

function drawTable(days) {
  const titles = [word("usage_day"), word("usage_total"), word("usage_pictures"), word("usage_characters"), "p50", "p95", word("usage_codes")];
  const rows = days.filter(({ requests }) => requests).reverse().map((figures) => {
    const { day, requests, pictures, characters, p50_ms, p95_ms, by_code } = figures;
    return [day, number(requests), number(pictures), number(characters), milliseconds(p50_ms), milliseconds(p95_ms), codes(by_code)];
  });
  fill($("table"), titles, rows);
}

function draw() {
  $("usage").hidden = !shown;
  if (!shown) return;
  const days = everyDay(shown);
  drawUsers(shown);
  drawTiles(shown);
  drawCharts(days);
  drawTable(days);
}

async function load({ of }) {
  const caller = account();
  $("signed-out").hidden = Boolean(caller);
  $("usage-problem").hidden = true;
  shown = null;
  if (caller) {
    try {
      const today = Date.now();
      const [from, to] = [today - ($("days").value - 1) * DAY_MS, today].map((at) => new Date(at).toISOString().slice(0, 10));
      const { body } = await ask("/usage", caller, { from, to, ...(of && { of }) });
      if (body.error) complain(tip(body.error, body.tips));
      else shown = body;
    } catch (error) {
      complain(error instanceof Unanswered ? word(error.key, error.values) : error.message);
    }
  }
  draw();
}

function complain(text) {
  $("usage-problem").textContent = text;
  $("usage-problem").hidden = false;
}

const chosen = () => load({ of: $("whose-part").hidden ? null : $("whose").value });
$("days").onchange = chosen;
$("whose").onchange = chosen;
$("sign-in-here").onclick = askAccount;
document.addEventListener("account", () => load({}));
document.addEventListener("language", draw);
window.addEventListener("resize", draw);
startPage();
