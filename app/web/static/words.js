// Texts of the page in two languages, which can be switched without a reload.
const known = JSON.parse(document.getElementById("known").textContent);
export const limits = known.limits;

const root = document.documentElement;
const HTML = { en: "en", zh: "zh-CN" };
const TEXTS = ["aria-label", "placeholder"];

export const language = () => root.dataset.language;

/** The text of a key, with each {name} replaced by its value. */
export function word(key, values = {}) {
  return known.words[key][language()].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The message of an error; the response's own tip if this page does not know the error. */
export const tip = (error, otherwise) => known.tips[error]?.[language()] ?? otherwise;

export const number = (value, digits = 0) =>
  value.toLocaleString(HTML[language()], { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Texts that are not just a key are updated by listeners of the document's "language" event. */
function speak(wanted) {
  root.dataset.language = wanted;
  root.lang = HTML[wanted];
  for (const node of document.querySelectorAll("[data-word]")) node.textContent = word(node.dataset.word);
  for (const name of TEXTS) {
    for (const node of document.querySelectorAll(`[data-word-${name}]`)) {
      node.setAttribute(name, word(node.getAttribute(`data-word-${name}`)));
    }
  }
  document.dispatchEvent(new Event("language"));
}

export function startWords() {
  const stored = localStorage.getItem("language");
  if (stored && stored !== language()) speak(stored);
  document.getElementById("language").onclick = () => {
    const other = language() === "en" ? "zh" : "en";
    localStorage.setItem("language", other);
    speak(other);
  };
}
