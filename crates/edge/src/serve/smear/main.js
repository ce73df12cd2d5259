// The page for reading a smear: the program that serves it finds and calls cells; the page shows them and keeps the
// person's corrections in the browser.

import { dropped, isPicture } from "./dropped.js";
import { at, listLanguages, reportingErrors, showStatus } from "./elements.js";
import { listFields, updateField } from "./fields.js";
import { focusTile, galleryKey, showMore, updateGallery, updateTiles } from "./gallery.js";
import { attach, detach } from "./pictures.js";
import {
  carryOver, changed, forgetChanges, onChange, photographs, removeFromReading, restoreOrder, saveField, setDetails, state, undo, today,
} from "./reading.js";
import { updateResults } from "./results.js";
import { saveCsv, savePhotographs, saveRecordFile, saveReport } from "./saving.js";
import { ask, form } from "./server.js";
import { clearStored, isSaving, openStore, removeStored, restored, savePhotograph, showStorageWarning } from "./store.js";
import { filled, loadTexts, preferredLanguage, reasonOf, text } from "./texts.js";
import { goTo, makeJudgeButtons, startViewer, updateViewer, view } from "./viewer.js";

const LARGEST_PHOTO = 60 * 1024 * 1024;
// Milliseconds to wait for the answer of another tab with this page.
const ANSWER = 300;

// Records made with another model: their photographs are read again.
const earlier = new Map();
let started = false;
// Lists of files, one after the other.
let queue = Promise.resolve();

// Photographs.

async function read(files, generation) {
  const photos = files.filter((file) => isPicture(file) || (file.type.startsWith("image/") && !file.name.startsWith(".")));
  if (photos.length === 0) return showStatus(text("status.none"), true);
  const notes = [];
  const skipped = files.length - photos.length;
  if (skipped > 0) notes.push(filled("status.skipped", { number: skipped }));
  at("progress").hidden = false;
  at("progress").max = photos.length;
  let done = 0;
  for (const [i, file] of photos.entries()) {
    at("progress").value = i;
    showStatus(filled("status.working", { done: i + 1, all: photos.length, name: file.name }));
    try {
      const note = await readOne(file, generation);
      // Everything was cleared in the meantime.
      if (generation !== state.generation) break;
      if (note) notes.push(note);
      done += 1;
    } catch (error) {
      notes.push(filled("status.failed", { name: file.name, reason: reasonOf(error) }));
    }
  }
  at("progress").hidden = true;
  if (generation === state.generation) showStatus([filled("status.done", { done }), ...notes].join(" · "), done < photos.length);
}

// Reads a photograph and returns remarks on it.
async function readOne(file, generation) {
  if (file.size > LARGEST_PHOTO) throw new Error(filled("status.too-large", { limit: LARGEST_PHOTO / 1024 / 1024 }));
  const name = file.name || text("fields.photograph");
  const found = await ask("/smear", form([name, file]));
  if (generation !== state.generation) return null;
  // A file that is not a picture is not listed as a photograph.
  if (found.refusal?.startsWith("photo")) throw new Error(text(`refusal.${found.refusal}`));
  // A form escapes some characters of a name.
  found.count.image = name;
  const known = state.fields.find((field) => field.count.pixels_sha256 === found.count.pixels_sha256);
  if (known) {
    if (photographs.has(known)) return filled("status.copy", { name, first: known.count.image });
    await attach(known, file);
    await savePhotograph(known.sha256, file);
  } else {
    if (earlier.has(found.sha256)) carryOver(earlier.get(found.sha256), found);
    earlier.delete(found.sha256);
    state.fields.push(found);
    await setDetails({ looked_through: false });
    // A photograph that was cleared in the meantime must not be saved again.
    if (generation !== state.generation) return null;
    await saveField(found);
    if (generation !== state.generation) return null;
    await savePhotograph(found.sha256, file);
    await attach(found, file);
  }
  if (generation === state.generation) changed();
  return null;
}

function enqueue(list) {
  const { generation } = state;
  queue = queue.then(reportingErrors(async () => {
    const files = await list;
    if (started && generation === state.generation) await read(files, generation);
  }));
}

const remove = reportingErrors(async (field) => {
  if (!confirm(filled("fields.remove-question", { name: field.count.image }))) return;
  await removeFromReading(field);
  detach(field);
  // The next photographs may be of another patient.
  if (state.fields.length === 0) await setDetails({ patient: "", slide: "" });
  fillDetails();
  changed();
  await removeStored(field.sha256).catch(() => Promise.reject(new Error(text("storage.not-removed"))));
});

const undoLast = () => undo(at("viewer").open ? goTo : focusTile);

async function clear() {
  if (!confirm(text("save.clear-question"))) return;
  state.generation += 1;
  state.fields.forEach(detach);
  state.fields = [];
  earlier.clear();
  forgetChanges();
  await setDetails({ patient: "", slide: "", read_on: today(), red_cells_per_microlitre: null, looked_through: false });
  fillDetails();
  changed();
  showStatus("");
  await clearStored().catch(() => Promise.reject(new Error(text("storage.not-removed"))));
}

// Details.

function fillDetails() {
  for (const input of at("details").elements) input.value = state.details[input.name] ?? "";
}

async function readDetails() {
  const value = (input) => {
    if (input.type !== "number") return input.value;
    return input.value !== "" && input.validity.valid ? input.valueAsNumber : null;
  };
  const saving = setDetails(Object.fromEntries([...at("details").elements].map((input) => [input.name, value(input)])));
  at("red-cells-note").hidden = at("details").checkValidity();
  updateResults();
  await saving;
}

async function setLanguage(language) {
  await loadTexts(language);
  state.details.language = language;
  at("language").value = language;
  const { model: name, model_sha256: digest } = state.model.made_by;
  at("cells-link").href = `/cells?language=${language}`;
  at("model").textContent = filled("app.model", { model: name, digest: digest.slice(0, 12) });
  makeJudgeButtons();
  showStorageWarning();
  changed();
}

// Start.

// Another tab with this page would overwrite the data of this one.
async function anotherTab() {
  const channel = new BroadcastChannel("malaria-smear");
  const answered = new Promise((answer) => {
    channel.onmessage = ({ data }) => {
      if (data === "here") answer(true);
    };
    setTimeout(answer, ANSWER, false);
  });
  channel.postMessage("anyone");
  const another = await answered;
  if (another) {
    channel.close();
  } else {
    channel.onmessage = ({ data }) => data === "anyone" && channel.postMessage("here");
  }
  return another;
}

async function restore() {
  await openStore();
  const { records, details, photograph } = await restored();
  state.details = { ...state.details, ...details };
  const again = [];
  const missing = [];
  for (const { order, model, field } of records.sort((a, b) => a.order - b.order)) {
    const file = await photograph(field.sha256);
    if (model !== state.model.made_by.model_sha256) {
      earlier.set(field.sha256, field);
      if (file) again.push(file);
      else missing.push(filled("storage.other-model", { name: field.count.image }));
      continue;
    }
    restoreOrder(field, order);
    state.fields.push(field);
    // It still counts without its picture.
    if (file) await attach(field, file).catch((error) => missing.push(filled("status.failed", { name: field.count.image, reason: reasonOf(error) })));
  }
  if (missing.length > 0) showStatus(missing.join(" "), true);
  return again;
}

async function start() {
  const language = preferredLanguage();
  await loadTexts(language);
  if (await anotherTab()) {
    at("drop").hidden = true;
    throw new Error(text("status.other-tab"));
  }
  state.model = await ask("/model");
  state.details = { ...state.details, language, read_on: today() };
  listLanguages();
  const again = await restore();
  fillDetails();
  onChange((field) => {
    updateResults();
    updateViewer(field);
    if (field) {
      updateTiles(field);
      updateField(field);
    } else {
      listFields(view, remove);
      reportingErrors(updateGallery)(view);
    }
  });
  startViewer();
  await setLanguage(state.details.language);
  started = true;
  if (again.length > 0) enqueue(again);
}

function listen() {
  const pressed = (id, action) => at(id).addEventListener("click", reportingErrors(action));
  for (const id of ["files", "camera"]) {
    at(id).addEventListener("change", (event) => {
      enqueue([...event.target.files]);
      event.target.value = "";
    });
  }
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      at("drop").classList.add("over");
    });
  }
  document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("drop").classList.remove("over");
    enqueue(dropped(event.dataTransfer).then((found) => found.map(({ file }) => file)));
  });
  document.addEventListener("keydown", galleryKey);
  document.addEventListener("keydown", reportingErrors(async (event) => {
    const within = at("viewer").open || event.target.closest?.(".cell");
    const control = event.ctrlKey || event.metaKey;
    const typing = event.target.matches?.("input, select");
    if (event.key.toLowerCase() !== "z" || event.altKey || event.shiftKey || typing || !(within || control)) return;
    event.preventDefault();
    await undoLast();
  }));
  at("details").addEventListener("input", reportingErrors(readDetails));
  at("details").addEventListener("submit", (event) => event.preventDefault());
  at("looked-through").addEventListener("change", reportingErrors(async (event) => {
    const saving = setDetails({ looked_through: event.target.checked });
    updateResults();
    await saving;
  }));
  at("language").addEventListener("change", reportingErrors(async (event) => {
    await setLanguage(event.target.value);
    await setDetails({});
  }));
  pressed("undo", undoLast);
  pressed("more", () => showMore(view));
  pressed("save-report", async () => {
    showStatus(text("status.report"));
    await saveReport();
    showStatus("");
  });
  window.addEventListener("beforeunload", (event) => {
    if (!at("progress").hidden || isSaving()) event.preventDefault();
  });
  // A page that the browser kept while the person was elsewhere lacks what was saved meanwhile.
  window.addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
  pressed("save-json", saveRecordFile);
  pressed("save-csv", saveCsv);
  pressed("save-photographs", savePhotographs);
  pressed("clear", clear);
}

// Files that are dropped early wait until the page is ready.
queue = reportingErrors(start)();
listen();
