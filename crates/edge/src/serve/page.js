import { dropped, isPicture } from "/smear/dropped.js";

// Limits of a request, well below those of the server.
const PICTURES_AT_ONCE = 32;
const BYTES_AT_ONCE = 2 * 1024 * 1024;
// Larger pictures are not sent, since the server would refuse them.
const LARGEST_PICTURE = 15 * 1024 * 1024;

const at = (id) => document.getElementById(id);
// Values below 1 are not rounded to 100 %, values above 0 not to 0 %. The space is non-breaking.
function percent(share) {
  if (share >= 0.99995 && share < 1) return ">\u00a099.99\u00a0%";
  if (share > 0 && share < 0.00005) return "<\u00a00.01\u00a0%";
  return `${(100 * share).toFixed(2)}\u00a0%`;
}
// One percent sign for both, so that the table fits a phone.
const between = ({ low, high }) => `${percent(low).replace("\u00a0%", "")} to ${percent(high)}`;

let model = null;
let predictions = [];
let pictures = []; // Object URLs of the thumbnails, to be revoked.
let known = new Set(); // Keys of the files shown.
let copies = new Map(); // Paths of the pictures shown, by the hash of their pixels.
const paths = new WeakMap(); // Paths of dropped files.
let work = Promise.resolve();

function say(words, failed = false) {
  at("status").textContent = words;
  at("status").classList.toggle("failed", failed);
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the program does not answer; is it still running?");
  }
  const type = response.headers.get("Content-Type") ?? "none";
  if (!type.startsWith("application/json")) {
    throw new Error(`unexpected answer (status ${response.status}, type ${type}), perhaps from a proxy`);
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function row(...contents) {
  const made = element("tr");
  for (const content of contents) {
    const cell = element("td");
    cell.append(...[content].flat());
    made.append(cell);
  }
  return made;
}

async function loadModel() {
  model = await ask("/model");
  const { positive, image } = model.description;
  at("model").textContent =
    `${model.rule} Pictures are resized to ${image.pixels} x ${image.pixels} pixels. Weights ${model.origin.weights_sha256.slice(0, 12)}, ` +
    `${model.origin.weights}.`;
  at("positive-label").textContent = `Called ${positive}`;
  at("probability-label").textContent = `p(${positive})`;
}

// Groups of files that fit into one request.
function* batches(files) {
  let batch = [];
  let bytes = 0;
  for (const file of files) {
    if (batch.length === PICTURES_AT_ONCE || (batch.length > 0 && bytes + file.size > BYTES_AT_ONCE)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.size;
  }
  if (batch.length > 0) yield batch;
}

// The path below the dropped or chosen folder: file names may repeat in other folders.
const pathOf = (file) => paths.get(file) ?? (file.webkitRelativePath || file.name);
// Identifies a file, so that it is shown once if it is dropped twice.
const key = (file) => JSON.stringify([pathOf(file), file.size, file.lastModified]);

async function classify(files, notes) {
  const progress = at("progress");
  progress.hidden = false;
  progress.max = files.length;
  progress.value = 0;
  say(`0 of ${files.length} pictures`);
  // Hidden until the new cells are counted.
  at("patients").hidden = true;
  let failure = null;
  try {
    for (const batch of batches(files)) {
      const found = await predict(batch);
      // The path of the file: a form contains only its name, with some characters escaped.
      found.forEach((prediction, i) => show({ ...prediction, path: pathOf(batch[i]) }, batch[i]));
      count();
      progress.value += batch.length;
      say(`${progress.value} of ${files.length} pictures`);
    }
  } catch (error) {
    failure = error;
  }
  // The patients of the cells called so far, even after a failure.
  await showPatients().catch((error) => (failure ??= error));
  progress.hidden = true;
  if (failure) {
    say(`${progress.value} of ${files.length} pictures, then: ${failure.message}`, true);
  } else {
    say(`${files.length} of ${files.length} pictures: done${notes}`);
  }
}

async function predict(batch) {
  if (batch[0].size > LARGEST_PICTURE) {
    const error = `larger than the limit of ${LARGEST_PICTURE / 1024 / 1024} MiB`;
    return [{ patient: null, class: null, probability: null, warning: null, error, pixels_sha256: null, learned_from: null }];
  }
  const form = new FormData();
  for (const file of batch) form.append("picture", file, file.name);
  return ask("/classify", { method: "POST", body: form });
}

function show(prediction, file) {
  const first = predictions.push(prediction) === 1;
  known.add(key(file));
  if (first) at("results").hidden = false;
  const thumbnail = element("img", "", "thumbnail");
  thumbnail.alt = "";
  thumbnail.loading = "lazy";
  thumbnail.src = URL.createObjectURL(file);
  pictures.push(thumbnail.src);
  // Pictures that the browser cannot show, such as TIFF, stay blank.
  thumbnail.addEventListener("error", () => thumbnail.replaceWith(element("span", "", "thumbnail")));

  const { path, class: called, probability, warning, error, pixels_sha256: pixels } = prediction;
  const original = copies.get(pixels);
  if (pixels !== null && original === undefined) copies.set(pixels, path);
  prediction.copy = original !== undefined;
  const isPositive = called === model.description.positive;
  const call = element("span", called ?? "unreadable", isPositive ? "positive" : "");
  const chance = [];
  if (probability !== null) {
    const meter = element("meter");
    meter.value = probability;
    meter.setAttribute("aria-hidden", "true");
    chance.push(percent(probability), meter);
  } else {
    chance.push("n/a");
  }
  const words = [element("span", path)];
  if (warning ?? error) words.push(element("span", warning ?? error, "note"));
  if (prediction.copy) words.push(element("span", `copy of ${original}`, "note"));
  at("cell-rows").append(row(thumbnail, call, chance, words));
}

function count() {
  const originals = predictions.filter((p) => !p.copy);
  const number = (test) => originals.filter(test).length;
  at("count").textContent = originals.length;
  at("copies").textContent = predictions.length - originals.length;
  at("positive").textContent = number((p) => p.class === model.description.positive);
  at("warned").textContent = number((p) => p.warning !== null);
  at("unreadable").textContent = number((p) => p.error !== null);
}

async function showPatients() {
  const found = await ask("/patients", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(predictions),
  });
  at("patients").hidden = found.length === 0;
  at("patient-rows").replaceChildren(
    ...found.map(({ patient, called, infected_share, interval, words }) =>
      row(
        patient,
        `${called.positive} of ${called.cells}`,
        infected_share === null ? "n/a" : [`${percent(infected_share)} `, element("span", between(interval), "interval")],
        words,
      ),
    ),
  );
}

// The columns of `malaria-edge classify --csv`.
export function csv() {
  const field = (value) => {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const columns = ["path", "patient", "class", "probability", "warning", "error", "pixels_sha256", "learned_from"];
  const rows = predictions.map((prediction) => columns.map((column) => field(prediction[column])).join(","));
  return [columns.join(","), ...rows, ""].join("\n");
}

function save() {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "cells.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function clear() {
  pictures.forEach((address) => URL.revokeObjectURL(address));
  predictions = [];
  pictures = [];
  known = new Set();
  copies = new Map();
  at("cell-rows").replaceChildren();
  at("patient-rows").replaceChildren();
  at("patients").hidden = true;
  at("results").hidden = true;
  say("");
}

// Handles lists of files one after the other.
function enqueue(list) {
  work = work
    .then(async () => {
      const files = await list;
      const images = files.filter((file) => isPicture(file));
      const fresh = new Map(images.map((file) => [key(file), file]));
      known.forEach((shown) => fresh.delete(shown));
      const chosen = [...fresh.values()].sort((a, b) => (pathOf(a) < pathOf(b) ? -1 : 1));
      const note = (words, number) => (number > 0 ? `; ${words}: ${number}` : "");
      if (images.length === 0) {
        say("No pictures found: expected PNG, JPEG, BMP, TIFF or WebP.", true);
      } else {
        const notes = note("skipped because they are not images", files.length - images.length);
        await classify(chosen, notes + note("already shown", images.length - chosen.length));
      }
    })
    .catch((error) => say(`The pictures cannot be read: ${error.message}`, true));
}

const drop = at("drop");
at("files").addEventListener("change", (event) => {
  enqueue([...event.target.files]);
  event.target.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  enqueue(
    dropped(event.dataTransfer).then((found) =>
      found.map(({ file, path }) => {
        paths.set(file, path);
        return file;
      }),
    ),
  );
});
at("save").addEventListener("click", save);
at("clear").addEventListener("click", clear);
loadModel().catch((error) => say(`The model cannot be loaded: ${error.message}`, true));
