// From page to page of a tab, and over a reload: the account goes through the memory of keeper.js, never through web
// storage, which browsers write to disk. There lies a random ticket alone, which the next page shows to the worker.
const TICKET = "ticket";
const WAIT_MS = 5000;

let keeper = null; // the worker, once it is there
let ticket = null; // of the account that this page has

async function startKeeper() {
  const { active, waiting, installing } = await navigator.serviceWorker.register(new URL("keeper.js", import.meta.url));
  keeper = active ?? waiting ?? installing;
}

/** Once somebody has signed in. Without a worker, as in some private windows, a page takes the account with it. */
export async function prepareHandover() {
  try {
    await startKeeper();
  } catch {
    return;
  }
  ticket = crypto.randomUUID();
  sessionStorage.setItem(TICKET, ticket);
}

/** Once nobody is signed in any more. */
export function endHandover() {
  ticket = null;
  sessionStorage.removeItem(TICKET);
}

/** To the page that comes next. */
export function handOver(account) {
  if (ticket) keeper.postMessage({ ticket, account });
}

/** What the page before hands over, or null. */
export async function takeOver() {
  const shown = (ticket = sessionStorage.getItem(TICKET));
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

/** Whether the tab has still this page's account, once the Back button has brought the page itself back. */
export const isStillThere = () => sessionStorage.getItem(TICKET) === ticket;
