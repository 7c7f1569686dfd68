// A service worker that holds an account in memory while the tab changes pages. It does not intercept requests.
const HELD_MS = 10_000;
const accounts = new Map(); // by ticket
const waiting = new Map(); // by ticket: ports of pages that asked before the previous page handed over

self.onmessage = (event) => {
  const { ticket, account } = event.data;
  const [port] = event.ports;
  if (account) {
    accounts.set(ticket, account);
    waiting.get(ticket)?.postMessage(account);
    waiting.delete(ticket);
  } else if (accounts.has(ticket)) port.postMessage(accounts.get(ticket));
  else waiting.set(ticket, port);
  const forget = () => accounts.get(ticket) === account && accounts.delete(ticket);
  event.waitUntil(new Promise((done) => setTimeout(done, HELD_MS)).then(forget)); // keeps the worker alive
};

self.oninstall = () => self.skipWaiting();
