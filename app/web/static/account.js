// The signed-in account. Name and secret stay in memory and move to the tab's next page; signing never sends the secret.
import { endHandover, handOver, isStillThere, prepareHandover, takeOver } from "./handover.js";
import { complain, redeem, takeLink } from "./link.js";
import { $, toast } from "./page.js";
import { word } from "./words.js";

let current = null;
let settled; // promise: resolved once the previous page and a sign-in link were asked for an account

/** {user, secret}, or null before sign-in. */
export const account = () => current;

/** The account; asks the reader to sign in if there is none. Null if the reader cancels. */
export async function askAccount() {
  await settled;
  if (current) return current;
  if (!$("sign-in").open) open(); // opening again would clear the input
  return new Promise((settle) => {
    $("sign-in").addEventListener("close", () => settle(current), { once: true });
  });
}

function open() {
  const form = $("sign-in").querySelector("form");
  form.reset();
  form.elements.user.value = current?.user ?? "";
  $("sign-out").hidden = !current;
  $("sign-in").showModal();
}

function signIn(account) {
  current = account;
  prepareHandover();
  complain(null);
  $("sign-in").close();
  $("sign-in").querySelector("form").reset();
  show();
  toast(word("signed_in", { user: account.user }));
}

function forget() {
  current = null;
  endHandover();
  $("sign-in").close();
  show();
  toast(word("signed_out"));
}

function show() {
  const user = current?.user;
  $("account-name").textContent = user ?? word("sign_in");
  if (user) $("account").setAttribute("aria-label", word("account_of", { user }));
  else $("account").removeAttribute("aria-label");
  document.dispatchEvent(new Event("account"));
}

/** Take the account of the previous page, then that of a sign-in link. */
async function arrive() {
  const link = takeLink();
  const before = await takeOver();
  current ??= before; // the reader may have signed in meanwhile
  show();
  if (link) await follow(link);
}

async function follow(link) {
  const opened = await redeem(link, current);
  if (opened) signIn(opened);
}

/** Sign out here if the reader signed out, or in as another user, on another page of the tab. */
function comeBack() {
  if (!isStillThere()) current = null;
  show();
}

export function startAccount() {
  $("account").onclick = open;
  $("sign-out").onclick = forget;
  $("sign-in-cancel").onclick = () => $("sign-in").close();
  $("sign-in").querySelector("form").onsubmit = (event) => {
    const { user, secret } = event.target.elements;
    signIn({ user: user.value.trim(), secret: secret.value.trim() });
  };
  document.addEventListener("language", show);
  settled = arrive();
  window.addEventListener("hashchange", () => {
    const link = takeLink();
    if (link) settled = settled.then(() => follow(link));
  });
  window.addEventListener("pagehide", () => current && handOver(current));
  window.addEventListener("pageshow", ({ persisted }) => persisted && comeBack());
}
