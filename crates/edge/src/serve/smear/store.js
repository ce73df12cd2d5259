// The data that survives a reload: the records of fields and their photographs by the SHA-256 of the file, and the details.

import { text } from "./texts.js";

const STORES = ["records", "photographs", "details"];

let base = null;
let warning = null;

export function showStorageWarning() {
  const place = document.getElementById("storage");
  place.hidden = warning === null;
  place.textContent = warning === null ? "" : text(warning);
}

function warn(key) {
  warning = key;
  showStorageWarning();
}

export async function openStore() {
  try {
    base = await new Promise((opened, failed) => {
      const request = indexedDB.open("malaria-smear", 1);
      request.onupgradeneeded = () => STORES.forEach((name) => request.result.createObjectStore(name));
      request.onsuccess = () => opened(request.result);
      request.onerror = request.onblocked = () => failed(request.error);
    });
  } catch {
    warn("storage.none");
  }
}

function request(name, mode, make) {
  return new Promise((done, failed) => {
    if (base === null) throw new Error("there is no store");
    const transaction = base.transaction(name, mode);
    const made = make(transaction.objectStore(name));
    transaction.oncomplete = () => done(made.result);
    transaction.onabort = transaction.onerror = () => failed(transaction.error ?? made.error);
  });
}

const put = (name, key, value) => request(name, "readwrite", (objects) => objects.put(value, key));

// Photographs are dropped in favour of corrections, which cannot be recreated.
async function save(name, key, value) {
  try {
    await put(name, key, value);
  } catch {
    try {
      await request("photographs", "readwrite", (objects) => objects.clear());
      await put(name, key, value);
      warn("storage.full");
    } catch {
      warn("storage.none");
    }
  }
}

export const saveRecord = (sha256, record) => save("records", sha256, record);
export const saveDetails = (details) => save("details", "details", details);

export async function savePhotograph(sha256, file) {
  await put("photographs", sha256, file).catch(() => warn(base === null ? "storage.none" : "storage.full"));
}

// The stored data; nothing if the browser stores nothing.
export async function restored() {
  if (base === null) return { records: [], details: {}, photograph: async () => undefined };
  const get = (name, key) => request(name, "readonly", (objects) => objects.get(key));
  return {
    records: await request("records", "readonly", (objects) => objects.getAll()),
    details: (await get("details", "details")) ?? {},
    photograph: (sha256) => get("photographs", sha256),
  };
}

export async function removeStored(sha256) {
  if (base === null) return;
  await Promise.all(["records", "photographs"].map((name) => request(name, "readwrite", (objects) => objects.delete(sha256))));
}

export async function clearStored() {
  if (base === null) return;
  await Promise.all(["records", "photographs"].map((name) => request(name, "readwrite", (objects) => objects.clear())));
  warn(null);
}
