// Who signs. Name and secret are kept for this tab alone, and are never sent: they only sign.
import { $, toast } from "./page.js";
import { word } from "./words.js";

const KEYS = ["user", "secret"];

/** {user, secret}, or null before anyone has signed in. */
export function account() {
  const [user, secret] = KEYS.map((key) => sessionStorage.getItem(key));
  return user && secret ? { user, secret } : null;
}

/** The account, asked for if need be; null if the reader would rather not. */
export function askAccount() {
  if (account()) return Promise.resolve(account());
  if (!$("sign-in").open) open(); // else what was typed would be lost
  return new Promise((settle) => {
    $("sign-in").addEventListener("close", () => settle(account()), { once: true });
  });
}

function open() {
  const form = $("sign-in").querySelector("form");
  form.reset();
  form.elements.user.value = account()?.user ?? "";
  $("sign-out").hidden = !account();
  $("sign-in").showModal();
}

function store(user, secret) {
  sessionStorage.setItem("user", user);
  sessionStorage.setItem("secret", secret);
  $("sign-in").close();
  show();
  toast(word("signed_in", { user }));
}

function forget() {
  for (const key of KEYS) sessionStorage.removeItem(key);
  $("sign-in").close();
  show();
  toast(word("signed_out"));
}

/** Of an address made by `flask users link`: the part behind # stays in the browser, and leaves its bar at once. */
function takeFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const [user, secret] = KEYS.map((key) => given.get(key));
  if (!user || !secret) return;
  history.replaceState(null, "", location.pathname + location.search);
  store(user, secret);
}

function show() {
  const user = account()?.user;
  $("account-name").textContent = user ?? word("sign_in");
  if (user) $("account").setAttribute("aria-label", word("account_of", { user }));
  else $("account").removeAttribute("aria-label");
  document.dispatchEvent(new Event("account"));
}

export function startAccount() {
  $("account").onclick = open;
  $("sign-out").onclick = forget;
  $("sign-in-cancel").onclick = () => $("sign-in").close();
  $("sign-in").querySelector("form").onsubmit = (event) => {
    const { user, secret } = event.target.elements;
    store(user.value.trim(), secret.value.trim());
  };
  document.addEventListener("language", show);
  window.addEventListener("hashchange", takeFromAddress);
  takeFromAddress();
  show();
}
