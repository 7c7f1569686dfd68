// Pass the account to the next page of a tab, or across a reload, through the memory of keeper.js. Web storage, which
// browsers write to disk, holds only a random ticket that the next page shows to the worker.
const TICKET = "ticket";
const WAIT_MS = 5000;

let keeper = null; // the service worker, once it is active
let ticket = null; // of this page's account

async function startKeeper() {
  const { active, waiting, installing } = await navigator.serviceWorker.register(new URL("keeper.js", import.meta.url));
  keeper = active ?? waiting ?? installing;
}

/** Call after sign-in. Without a service worker, as in some private windows, the account ends with the page. */
export async function prepareHandover() {
  try {
    await startKeeper();
  } catch {
    return;
  }
  ticket = crypto.randomUUID();
  sessionStorage.setItem(TICKET, ticket);
}

/** Call after sign-out. */
export function endHandover() {
  ticket = null;
  sessionStorage.removeItem(TICKET);
}

/** Hand the account over to the next page. */
export function handOver(account) {
  if (ticket) keeper.postMessage({ ticket, account });
}

/** The account of the previous page, or null. */
export async function takeOver() {
  const shown = sessionStorage.getItem(TICKET);
  ticket = shown;
  if (!shown) return null;
  const account = await startKeeper().then(() => received(shown), () => null);
  if (!account && ticket === shown) endHandover();
  return account;
}

function received(shown) {
  const { port1, port2 } = new MessageChannel();
  keeper.postMessage({ ticket: shown }, [port2]);
  return new Promise((settle) => {
    port1.onmessage = ({ data }) => settle(data);
    setTimeout(settle, WAIT_MS, null);
  });
}

/** Whether this page's account is still the tab's, after the Back button restored the page. */
export const isStillThere = () => sessionStorage.getItem(TICKET) === ticket;
