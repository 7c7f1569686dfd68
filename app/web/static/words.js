// What the page says, in two languages that are switched without loading it anew.
const known = JSON.parse(document.getElementById("known").textContent);
export const limits = known.limits;

const root = document.documentElement;
const HTML = { en: "en", zh: "zh-CN" };
const TEXTS = ["aria-label", "placeholder"];

export const language = () => root.dataset.language;

/** The words of a key, with {names} filled in. */
export function word(key, values = {}) {
  return known.words[key][language()].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What people are told of an error of the contract; its own tip where this page does not know it. */
export const tip = (error, otherwise) => known.tips[error]?.[language()] ?? otherwise;

export const number = (value, digits = 0) =>
  value.toLocaleString(HTML[language()], { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Words that are more than a key are said by a listener for "language" on the document. */
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
