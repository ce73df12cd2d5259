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
    if (base === null) throw new Error(text("storage.none"));
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

// For each key that is being written: the value to write next, if it has changed meanwhile, and the end of its writing. A person
// judges cells faster than a browser writes them.
const writing = new Map();

function saveLatest(name, key, value) {
  const current = writing.get(key);
  if (current !== undefined) {
    current.next = value;
    return current.end;
  }
  const own = { next: value };
  const write = async () => {
    while (own.next !== null) {
      const latest = own.next;
      own.next = null;
      await save(name, key, latest);
    }
    writing.delete(key);
  };
  writing.set(key, own);
  own.end = write();
  return own.end;
}

export const saveRecord = (sha256, record) => saveLatest("records", sha256, record);
export const saveDetails = (details) => saveLatest("details", "details", details);
export const isSaving = () => writing.size > 0;
export const saved = () => Promise.all([...writing.values()].map(({ end }) => end));

// Values that wait are not written any more.
async function drop(keys) {
  const dropped = keys.map((key) => writing.get(key)).filter((entry) => entry !== undefined);
  dropped.forEach((entry) => (entry.next = null));
  await Promise.all(dropped.map(({ end }) => end));
}

// As bytes: Safari stores no files in private windows.
export async function savePhotograph(sha256, file) {
  try {
    await put("photographs", sha256, { name: file.name, type: file.type, bytes: await file.arrayBuffer() });
  } catch {
    warn(base === null ? "storage.none" : "storage.full");
  }
}

// The stored data; nothing if the browser stores nothing.
export async function restored() {
  if (base === null) return { records: [], details: {}, photograph: async () => undefined };
  const get = (name, key) => request(name, "readonly", (objects) => objects.get(key));
  return {
    records: await request("records", "readonly", (objects) => objects.getAll()),
    details: (await get("details", "details")) ?? {},
    photograph: async (sha256) => {
      const stored = await get("photographs", sha256);
      return stored && new File([stored.bytes], stored.name, { type: stored.type });
    },
  };
}

export async function removeStored(sha256) {
  await drop([sha256]);
  if (base === null) return;
  await Promise.all(["records", "photographs"].map((name) => request(name, "readwrite", (objects) => objects.delete(sha256))));
}

export async function clearStored() {
  await drop([...writing.keys()]);
  if (base === null) return;
  await Promise.all(["records", "photographs"].map((name) => request(name, "readwrite", (objects) => objects.clear())));
  warn(null);
}
