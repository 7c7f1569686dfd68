// Options of a request. Unchanged options are not sent.
import { $ } from "./page.js";

const DEFAULT_SCORE = 0.5;

/** The request fields that differ from the defaults. */
export function options() {
  const { charset, min_score, side_limit, timeout_ms, orient } = $("options").elements;
  return {
    ...(charset.value && { charset: charset.value }),
    ...(Number(min_score.value) !== DEFAULT_SCORE && { min_score: min_score.value }),
    ...(side_limit.value && { side_limit: Number(side_limit.value) }),
    ...(timeout_ms.value && { timeout_ms: Number(timeout_ms.value) }),
    ...(orient.checked && { orient: true }),
  };
}

/** onChange() is called when an option has changed. */
export function startOptions(onChange) {
  const form = $("options");
  const show = () => {
    const changed = Object.keys(options()).length;
    $("min-score-shown").textContent = form.elements.min_score.value;
    $("changed").textContent = changed;
    $("changed").hidden = !changed;
  };
  form.oninput = show;
  form.onsubmit = (event) => event.preventDefault();
  form.onchange = () => form.reportValidity() && onChange();
  form.onreset = () => setTimeout(() => {
    show();
    onChange();
  });
  show(); // browsers restore form values after a reload
}
