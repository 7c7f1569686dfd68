// Sign-in links of `flask users link`: behind the # are a user's name and a one-time code, which browsers do not send.
import { $ } from "./page.js";
import { Unanswered, exchange } from "./send.js";
import { tip, word } from "./words.js";

let problem = null; // returns the error of the latest link in the current language

/** {user, code} or null; removes both from the address bar. The history keeps the code, which expires soon. */
export function takeLink() {
  const given = new URLSearchParams(location.hash.slice(1));
  const [user, code] = ["user", "code"].map((key) => given.get(key));
  if (!code || !/^[\w.-]{1,64}$/.test(user ?? "")) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return { user, code };
}

/** The account of a link, or null after showing why there is none. Asks before replacing a signed-in user. */
export async function redeem({ user, code }, signedIn) {
  complain(null);
  if (!globalThis.crypto?.subtle) return null; // the page shows that it cannot sign here
  if (signedIn && signedIn.user !== user && !(await agreed(signedIn.user, user))) return null;
  try {
    const { body } = await exchange({ username: user, code });
    if (!body.error) return { user, secret: body.secret };
    complain(() => (body.error === "sign_wrong" ? word("link_spent", { user }) : tip(body.error, body.tips)));
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    complain(() => word(error.key, error.values));
  }
  return null;
}

function agreed(user, other) {
  $("switch-question").textContent = word("switch_account", { user, other });
  $("switch-yes").textContent = word("switch_yes", { other });
  $("switch-no").textContent = word("switch_no", { user });
  $("switch").returnValue = "";
  $("switch").showModal();
  return new Promise((settle) => {
    $("switch").addEventListener("close", () => settle($("switch").returnValue === "yes"), { once: true });
  });
}

/** say() returns the message; null removes it. */
export function complain(say) {
  problem = say;
  $("link-problem").textContent = problem?.() ?? "";
  $("link-problem").hidden = !problem;
}

document.addEventListener("language", () => complain(problem));
