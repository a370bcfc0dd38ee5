// The champion's bundle, computed in this browser: fetched once, checked, and asked.

import * as ort from "/try/offline/runtime/1.30.0/ort.wasm.bundle.min.mjs";
import { preprocess } from "./resize.js";

const CACHE = "weakspot-try";
const WASM = "ort-wasm-simd-threaded.wasm";
const MOST_PIXELS = 25_000_000;
const SHELL = [
  "/try/offline", "/try/offline/bundle.json", "/try/offline/parts/page.js",
  "/try/offline/parts/resize.js", "/assets/scheme.js", "/assets/dashboard.css",
  "/assets/tryout.css", "/assets/tryout.js", "/assets/favicon.svg",
];
const canKeep = "caches" in window && "serviceWorker" in navigator;

const say = (id, text) => { document.getElementById(id).textContent = text; };

async function bundle() {
  const response = await fetch("/try/offline/bundle.json");
  const said = await response.json().catch(() => ({}));
  if (!response.ok) { throw new Error(said.detail || "the server names no model"); }
  return said;
}

// Returns the bytes behind an address that never changes, and keeps them for the next time.
async function fetched(address, expected, onBytes) {
  const cache = canKeep ? await caches.open(CACHE) : null;
  const kept = cache && (await cache.match(address));
  if (kept) {
    onBytes(expected);
    return kept.arrayBuffer();
  }
  const response = await fetch(address);
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw new Error(said.detail || address + " cannot be had");
  }
  const bytes = await read(response, onBytes);
  if (cache) {
    const type = response.headers.get("Content-Type") || "application/octet-stream";
    await cache.put(address, new Response(bytes, { headers: { "Content-Type": type } }));
  }
  return bytes;
}

async function read(response, onBytes) {
  const reader = response.body.getReader();
  const parts = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) { break; }
    parts.push(value);
    length += value.length;
    onBytes(length);
  }
  const whole = new Uint8Array(length);
  let place = 0;
  parts.forEach((part) => { whole.set(part, place); place += part.length; });
  return whole.buffer;
}

// A browser computes digests only where the address is this machine's or begins with https.
async function requireDigest(bytes, digest) {
  if (!window.crypto || !crypto.subtle) { return; }
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const written = [...found].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (written !== digest) { throw new Error("the model that came is not the one registered; load the page anew"); }
}

async function open(said) {
  const progress = document.getElementById("try-progress");
  const whole = said.bytes + 14_300_000;
  say("try-state", "Fetching " + said.version + " and the runtime: " + megabytes(said.bytes + 3_700_000) + ", once.");
  const wasm = await fetched(said.runtime + "/" + WASM, 14_300_000, (n) => { progress.value = n / whole; });
  const model = await fetched(said.model, said.bytes, (n) => { progress.value = (14_300_000 + n) / whole; });
  await requireDigest(model, said.digest);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  return ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] });
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0) + " MB";

// As core/images/decode.py: upright, colour profiles ignored, transparency over white.
async function pixels(blob) {
  const head = new Uint8Array(await blob.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...head);
  const isKnown = (head[0] === 0xff && head[1] === 0xd8) || text.startsWith("\x89PNG")
    || (text.startsWith("RIFF") && text.slice(8) === "WEBP");
  if (!isKnown) { throw new Error("this is no JPEG, PNG or WebP; convert the picture to one of these"); }
  const image = await createImageBitmap(blob, {
    colorSpaceConversion: "none", imageOrientation: "from-image", premultiplyAlpha: "default",
  }).catch(() => { throw new Error("the picture cannot be decoded"); });
  const { width, height } = image;
  if (width * height > MOST_PIXELS) {
    throw new Error("the picture has " + width + " x " + height + " pixels, more than the 25 million allowed");
  }
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(image, 0, 0);
  image.close();
  return { rgba: pen.getImageData(0, 0, width, height).data, width, height };
}

function top(said, probabilities) {
  return said.labels
    .map((label, place) => ({ label, probability: probabilities[place], place }))
    .sort((a, b) => b.probability - a.probability || a.place - b.place)
    .slice(0, 5)
    .map((each) => ({ ...each, address: "/class/" + encodeURIComponent(each.label) }));
}

function asker(said, session) {
  return async function ask(blob) {
    const begun = performance.now();
    const { rgba, width, height } = await pixels(blob);
    const tensor = preprocess(rgba, width, height, said.recipe);
    const asked = performance.now();
    const shape = [1, said.recipe.height, said.recipe.width, 3];
    const outputs = await session.run({ image: new ort.Tensor("uint8", tensor, shape) });
    const probabilities = outputs.probabilities.data;
    return {
      version: said.version, top: top(said, probabilities), width, height, seen: null,
      decode_ms: asked - begun, model_ms: performance.now() - asked, tensor, probabilities,
    };
  };
}

// Everything else that the page is made of; what is of another version is dropped.
async function keep(said) {
  if (!canKeep) {
    return "A browser keeps a page for use without its server only if the address begins with https, or is this machine's own.";
  }
  const cache = await caches.open(CACHE);
  await cache.addAll([...SHELL, said.runtime + "/ort.wasm.bundle.min.mjs"]);
  const wanted = [said.model, said.runtime];
  for (const request of await cache.keys()) {
    const path = new URL(request.url).pathname;
    const isBig = path.includes("/model/") || path.includes("/runtime/");
    if (isBig && !wanted.some((start) => path.startsWith(start))) { await cache.delete(request); }
  }
  await navigator.serviceWorker.register("/try/offline/worker.js", { scope: "/try/offline" });
  await navigator.serviceWorker.ready;
  return "This page, the runtime and " + said.version + " (" + megabytes(said.bytes + 14_400_000)
    + ") stay here, also after signing out: it works without the server.";
}

async function forget() {
  await caches.delete(CACHE);
  for (const each of await navigator.serviceWorker.getRegistrations()) {
    if (new URL(each.scope).pathname === "/try/offline") { await each.unregister(); }
  }
  say("try-kept-words", "Nothing is kept any more. It is fetched again when this page is loaded.");
  document.getElementById("try-forget").hidden = true;
}

function settle(tone, title, text) {
  document.getElementById("try-verdict").className = "verdict verdict-" + tone;
  document.querySelector("#try-verdict .icon").className = "icon icon-" + (tone === "good" ? "check" : "warning");
  document.getElementById("try-progress").remove();
  say("verdict", title);
  say("try-state", text);
}

async function start() {
  try {
    const said = await bundle();
    const session = await open(said);
    const ask = asker(said, session);
    window.weakspotTry.offline = { ask, preprocess };
    window.weakspotTry.mount(document.getElementById("tryout-offline"), { ask, largest: said.largest });
    settle("good", said.version + " runs in this browser", "Single-threaded WebAssembly, float32: slower than the server, with the same answers.");
    const words = await keep(said).catch((error) => "It could not be kept for use without the server: " + error.message);
    say("try-kept-words", words);
    document.getElementById("try-forget").hidden = !canKeep;
    document.getElementById("try-kept").hidden = false;
  } catch (error) {
    settle("watch", "The model cannot run here", error.message);
  }
}

document.getElementById("try-forget").addEventListener("click", forget);
// Deferred scripts have run by now, so the shared part of the page is there.
start();
