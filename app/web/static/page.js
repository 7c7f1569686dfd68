// Common to all pages: language, theme, account and short messages.
import { startAccount } from "./account.js";
import { startWords, word } from "./words.js";

export const $ = (id) => document.getElementById(id);

let fading;

/** Show a short message that disappears by itself. Screen readers announce it. */
export function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(fading);
  fading = setTimeout(() => $("toast").classList.remove("shown"), 4000);
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(word("copied"));
  } catch {
    toast(word("copy_failed"));
  }
}

export function startPage() {
  startWords();
  startAccount();
  $("insecure").hidden = Boolean(globalThis.crypto?.subtle);
  $("theme").onclick = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  };
}
