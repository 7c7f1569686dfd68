// Error messages in the reader's language: the service's tip, or the page's own text if there was no response.
import { $ } from "./page.js";
import { tip, word } from "./words.js";

const MAY_PASS = ["busy", "rate_limited", "dependency_unavailable", "ocr_failed", "picture_unreachable"];
let shown = null;
let ticking;

/** problem: a response of send.js, its Unanswered, or another Error. */
export function drawProblem(problem) {
  shown = problem;
  draw();
  $("problem").hidden = false;
  $("problem").scrollIntoView({ block: "nearest" });
  countDown(problem.retryAfter || 0);
}

export function hideProblem() {
  clearInterval(ticking);
  shown = null;
  $("problem").hidden = true;
}

function draw() {
  if (!shown) return;
  const { body, http, key, values, message } = shown;
  $("again").hidden = Boolean(body) && !MAY_PASS.includes(body.error);
  $("again").textContent = word("again");
  $("problem-words").textContent = body ? tip(body.error, body.tips) : key ? word(key, values) : word("page_fault", { why: message });
  $("problem-detail").textContent = body ? detail(body, http) : "";
}

function detail(body, http) {
  const parts = [word("failed_detail", { error: body.error, code: body.status_code ?? "-", http })];
  if (body.field) parts.push(word("failed_field", { field: body.field }));
  if (body.stage) parts.push(word("failed_stage", { stage: body.stage }));
  if (body.request_id) parts.push(word("failed_request", { id: body.request_id }));
  return parts.join(" · ");
}

/** Disable the button for the time in Retry-After. */
function countDown(seconds) {
  clearInterval(ticking);
  const tick = () => {
    $("again").disabled = seconds > 0;
    $("again").textContent = seconds > 0 ? word("again_in", { seconds }) : word("again");
    if (seconds-- <= 0) clearInterval(ticking);
  };
  tick();
  ticking = setInterval(tick, 1000);
}

document.addEventListener("language", draw);
