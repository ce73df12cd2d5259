// The page for pictures of single cells.

import { csvText, save } from "/smear/download.js";
import { dropped, isPicture } from "/smear/dropped.js";
import { at, element, listLanguages, reportingErrors, showStatus } from "/smear/elements.js";
import { ask, form } from "/smear/server.js";
import { callNotes, callWords, filled, loadTexts, percent, preferredLanguage, reasonOf, text, whole } from "/smear/texts.js";

// Limits of a request, well below those of the server.
const PICTURES_AT_ONCE = 32;
const BYTES_AT_ONCE = 2 * 1024 * 1024;
// Larger pictures are not sent, since the server would refuse them.
const LARGEST_PICTURE = 15 * 1024 * 1024;
// With fewer patients, rates are uncertain.
const FEW_PATIENTS = 40;

let model = null;
let predictions = [];
let patients = [];
let known = new Set(); // Keys of the files shown.
let copies = new Map(); // Paths of the pictures shown, by the hash of their pixels.
const paths = new WeakMap(); // Paths of dropped files.

// One percent sign for both, so that the table fits a phone.
const between = ({ low, high }) => filled("interval", { low: percent(low).replace("\u00a0%", ""), high: percent(high) });

function row(...contents) {
  const made = element("tr");
  for (const content of contents) {
    const cell = element("td");
    cell.append(...[content].flat());
    made.append(cell);
  }
  return made;
}

async function setLanguage(language) {
  await loadTexts(language);
  at("language").value = language;
  const { positive } = model.description;
  at("model").textContent = modelWords();
  at("positive-label").textContent = filled("cells.called", { positive });
  at("probability-label").textContent = `p(${positive})`;
  at("cell-rows").replaceChildren(...predictions.map(cellRow));
  count();
  listPatients();
}

// The model, and how it calls cells and patients.
function modelWords() {
  const { positive, threshold, smear, image } = model.description;
  const { model: name, model_sha256: digest } = model.made_by;
  const words = [];
  if (threshold === null) {
    words.push(text("cells.argmax"));
  } else {
    words.push(filled("cells.threshold", { positive, threshold: percent(threshold.threshold) }));
    const rates = threshold.chosen_on === "validation" ? "cells.rates-validation" : "cells.rates-out-of-fold";
    words.push(filled(rates, { sensitivity: percent(threshold.sensitivity), specificity: percent(threshold.specificity) }));
  }
  if (model.calls_patients) {
    const { uninfected, infected } = smear;
    words.push(
      filled("cells.patient-rule", {
        positive,
        threshold: percent(smear.threshold),
        "chosen-on": text(smear.chosen_on === "validation" ? "cells.on-validation" : "cells.out-of-fold"),
        infected: percent(infected.mean),
        uninfected: percent(uninfected.mean),
        "infected-patients": whole(infected.patients),
        "uninfected-patients": whole(uninfected.patients),
      }),
    );
    const patients = Math.min(infected.patients, uninfected.patients);
    if (patients < FEW_PATIENTS) words.push(filled("cells.few-patients", { limit: FEW_PATIENTS, patients }));
  } else {
    words.push(text("call.no-rule"));
  }
  words.push(filled("cells.size", { pixels: image.pixels }), `${filled("app.model", { model: name, digest: digest.slice(0, 12) })}.`);
  return words.join(" ");
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
  const say = (key, values) => filled(key, { done: whole(progress.value), all: whole(files.length), ...values });
  showStatus(say("cells.progress"));
  // Hidden until the new cells are counted.
  patients = [];
  listPatients();
  let failure = null;
  try {
    for (const batch of batches(files)) {
      const found = await predict(batch);
      // The path of the file: a form contains only its name, with some characters escaped.
      found.forEach((prediction, i) => add({ ...prediction, path: pathOf(batch[i]) }, batch[i]));
      count();
      progress.value += batch.length;
      showStatus(say("cells.progress"));
    }
  } catch (error) {
    failure = error;
  }
  // The patients of the cells called so far, even after a failure.
  await callPatients().catch((error) => (failure ??= error));
  progress.hidden = true;
  if (failure) showStatus(say("cells.stopped", { reason: reasonOf(failure) }), true);
  else showStatus([say("cells.done"), ...notes].join(" · "));
}

async function predict(batch) {
  if (batch[0].size > LARGEST_PICTURE) {
    const error = filled("status.too-large", { limit: LARGEST_PICTURE / 1024 / 1024 });
    return [{ patient: null, class: null, probability: null, warning: null, warnings: [], error, problem: null, pixels_sha256: null, seen_in_training: null }];
  }
  return ask("/classify", form(...batch.map((file) => [file.name, file])));
}

function add(prediction, file) {
  const { path, pixels_sha256: pixels } = prediction;
  const original = copies.get(pixels);
  if (pixels !== null && original === undefined) copies.set(pixels, path);
  Object.assign(prediction, { original, picture: URL.createObjectURL(file) });
  predictions.push(prediction);
  known.add(key(file));
  at("results").hidden = false;
  at("cell-rows").append(cellRow(prediction));
}

function cellRow(prediction) {
  const { path, class: called, probability, original, picture } = prediction;
  const thumbnail = element("img", "", "thumbnail");
  thumbnail.alt = "";
  thumbnail.loading = "lazy";
  thumbnail.src = picture;
  // Pictures that the browser cannot show, such as TIFF, stay blank.
  thumbnail.addEventListener("error", () => thumbnail.replaceWith(element("span", "", "thumbnail")));
  const isPositive = called === model.description.positive;
  const call = element("span", called ?? text("cells.none-called"), isPositive ? "positive" : "");
  const chance = [];
  if (probability !== null) {
    const meter = element("meter");
    meter.value = probability;
    meter.setAttribute("aria-hidden", "true");
    chance.push(percent(probability), meter);
  } else {
    chance.push("–");
  }
  const words = [element("span", path)];
  const remark = remarkOn(prediction);
  if (remark !== "") words.push(element("span", remark, "note"));
  if (original !== undefined) words.push(element("span", filled("cells.copy", { first: original }), "note"));
  return row(thumbnail, call, chance, words);
}

function remarkOn({ warnings, error, problem }) {
  // Only photographs have that many pixels.
  if (problem === "too-large") return text("refusal.photo-many-cells");
  if (problem !== null) return text(`refusal.photo-${problem}`);
  return error ?? warnings.map((warning) => text(`warning.${warning}`)).join("; ");
}

function count() {
  const originals = predictions.filter((p) => p.original === undefined);
  const number = (test) => whole(originals.filter(test).length);
  at("count").textContent = whole(originals.length);
  at("copies").textContent = whole(predictions.length - originals.length);
  at("positive").textContent = number((p) => p.class === model.description.positive);
  at("warned").textContent = number((p) => p.warning !== null);
  at("unreadable").textContent = number((p) => p.error !== null);
}

async function callPatients() {
  const cells = predictions.map(({ path, patient, probability, warning, pixels_sha256 }) => ({ path, patient, probability, warning, pixels_sha256 }));
  patients = await ask("/patients", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(cells),
  });
  listPatients();
}

function listPatients() {
  at("patients").hidden = patients.length === 0;
  at("patient-rows").replaceChildren(...patients.map(patientRow));
}

function patientRow(found) {
  const { patient, called, infected_share: share, interval } = found;
  const notes = callNotes(found);
  if (called.cells === 0) notes.unshift(text("call.all-warned"));
  return row(
    patient,
    filled("cells.of", { part: whole(called.positive), all: whole(called.cells) }),
    share === null ? "–" : [`${percent(share)} `, element("span", between(interval), "interval")],
    [element("span", callWords(found, called.cells)), ...notes.map((note) => element("span", note, "note"))],
  );
}

// The columns of `malaria-edge classify --csv`.
export function csv() {
  return csvText(["path", "patient", "class", "probability", "warning", "error", "pixels_sha256", "seen_in_training"], predictions);
}

function clear() {
  predictions.forEach(({ picture }) => URL.revokeObjectURL(picture));
  predictions = [];
  patients = [];
  known = new Set();
  copies = new Map();
  at("cell-rows").replaceChildren();
  listPatients();
  at("results").hidden = true;
  showStatus("");
}

async function read(files) {
  const images = files.filter((file) => isPicture(file));
  if (images.length === 0) return showStatus(text("cells.none"), true);
  const fresh = new Map(images.map((file) => [key(file), file]));
  known.forEach((shown) => fresh.delete(shown));
  const chosen = [...fresh.values()].sort((a, b) => (pathOf(a) < pathOf(b) ? -1 : 1));
  const notes = [];
  const note = (key, number) => number > 0 && notes.push(filled(key, { number: whole(number) }));
  note("status.skipped", files.length - images.length);
  note("cells.shown", images.length - chosen.length);
  await classify(chosen, notes);
}

async function start() {
  await loadTexts(preferredLanguage());
  model = await ask("/model");
  listLanguages();
  await setLanguage(preferredLanguage());
}

// Lists of files, one after the other, and before them the start.
let queue = reportingErrors(start)();

function enqueue(list) {
  queue = queue.then(reportingErrors(async () => {
    const files = await list;
    if (model !== null) await read(files);
  }));
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
at("language").addEventListener("change", reportingErrors((event) => setLanguage(event.target.value)));
at("save").addEventListener("click", () => save(new Blob([csv()], { type: "text/csv" }), "cells.csv"));
at("clear").addEventListener("click", clear);
