// Keeps the page, the runtime and the model, so that they are there when the server is not.
// What never changes (it has its version or digest in the address) is taken from here first,
// everything else from the server while it answers.

const CACHE = "weakspot-try";
const FOR_EVER = ["/try/offline/runtime/", "/try/offline/model/"];
const OURS = ["/try/offline", "/assets/"];

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const isOurs = url.origin === location.origin && OURS.some((path) => url.pathname.startsWith(path));
  if (event.request.method !== "GET" || !isOurs) { return; }
  const isForEver = FOR_EVER.some((path) => url.pathname.startsWith(path));
  event.respondWith(isForEver ? keptFirst(url) : serverFirst(event.request, url));
});

async function keptFirst(url) {
  return (await kept(url)) || fetch(url.pathname, { credentials: "same-origin" });
}

async function serverFirst(request, url) {
  try {
    const response = await fetch(request);
    // Only what is kept already is kept anew: the page says what that is.
    if (response.ok && (await kept(url))) {
      await (await caches.open(CACHE)).put(url.pathname, response.clone());
    }
    return response;
  } catch (error) {
    return (await kept(url)) || Response.error();
  }
}

async function kept(url) {
  return (await caches.open(CACHE)).match(url.pathname);
}
