// Who signs. Name and secret are in this page's memory, and go on to the next page of the tab; signing sends neither.
import { endHandover, handOver, isStillThere, prepareHandover, takeOver } from "./handover.js";
import { complain, redeem, takeLink } from "./link.js";
import { $, toast } from "./page.js";
import { word } from "./words.js";

let current = null;
let settled; // once the page before and a link have said who signs

/** {user, secret}, or null before anyone has signed in. */
export const account = () => current;

/** The account, asked for if need be; null if the reader would rather not. */
export async function askAccount() {
  await settled;
  if (current) return current;
  if (!$("sign-in").open) open(); // else what was typed would be lost
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

/** What the page before handed over; then a link, if the address is one. */
async function arrive() {
  const link = takeLink();
  const before = await takeOver();
  current ??= before; // a fast reader has signed in by hand meanwhile
  show();
  if (link) await follow(link);
}

async function follow(link) {
  const opened = await redeem(link, current);
  if (opened) signIn(opened);
}

/** Who has signed out on another page of the tab, or in as somebody else, is not signed in here either. */
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
