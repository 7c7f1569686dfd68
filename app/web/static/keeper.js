// A service worker that holds an account, in memory alone, while one page goes and the next one comes.
// It is no proxy: it listens to no request.
const HELD_MS = 10_000;
const accounts = new Map(); // by ticket
const waiting = new Map(); // ports of pages that were faster than the page before them, by ticket

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
  event.waitUntil(new Promise((done) => setTimeout(done, HELD_MS)).then(forget)); // so long the browser lets it run
};

self.oninstall = () => self.skipWaiting();
