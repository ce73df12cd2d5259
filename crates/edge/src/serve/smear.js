// The page on which a person reads a smear: the program that serves it finds and calls cells, this page shows them and keeps the
// person's corrections in the browser.

const LARGEST_PHOTO = 60 * 1024 * 1024;
const PICTURE = /\.(png|jpe?g|jfif|jpe|bmp|tiff?|webp)$/i;
// Hidden files, and the folder that macOS adds to a zip.
const HIDDEN = /^(\.|__MACOSX$)/;
const JUDGEMENTS = { i: "infected", n: "uninfected", x: "no-red-cell" };
const LANGUAGES = ["en", "es", "fr", "pt"];
// Pixels of a cell in the gallery, on screens of two pixels each.
const CROP = 176;
// Cells not called infected that are shown at first, and more at each request.
const PORTION = 30;
// Longest side of a photograph in a report, in pixels.
const REPORT_SIDE = 1600;

const at = (id) => document.getElementById(id);

// Texts.

let phrases = {};
let numbers = new Intl.NumberFormat("en");

function text(key) {
  return phrases[key] ?? key;
}

const label = (name, value) => filled("label", { name, value });
const filled = (key, values) => text(key).replace(/\{([a-z-]+)\}/g, (_, name) => values[name]);

// Values below 1 are not rounded to 100 %, values above 0 not to 0 %. The space is non-breaking.
function percent(share) {
  const number = (value) => value.toFixed(2).replace(".", text("decimal"));
  if (share >= 0.99995 && share < 1) return `> ${number(99.99)}\u00a0%`;
  if (share > 0 && share < 0.00005) return `< ${number(0.01)}\u00a0%`;
  return `${number(100 * share)}\u00a0%`;
}

const between = ({ low, high }, write) => filled("interval", { low: write(low), high: write(high) });
const shareOf = (share, interval) =>
  share === null ? between(interval, percent) : `${percent(share)} (${between(interval, percent)})`;
const perMicrolitre = ({ estimate, low, high }) => {
  const whole = (number) => numbers.format(Math.round(number));
  return `${whole(estimate)} (${between({ low, high }, whole)})`;
};

async function speak(language) {
  phrases = await ask(`/phrases/${language}`);
  numbers = new Intl.NumberFormat(language);
  document.documentElement.lang = language;
  document.title = text("app.title");
  const each = (attribute, apply) =>
    document.querySelectorAll(`[${attribute}]`).forEach((element) => apply(element, text(element.getAttribute(attribute))));
  each("data-text", (element, words) => (element.textContent = words));
  each("data-label", (element, words) => element.setAttribute("aria-label", words.replace(/\s*\{.*$/, "")));
  each("data-hint", (element, words) => (element.placeholder = element.title = words));
  details.language = language;
  at("language").value = language;
  const { model: name, weights_sha256: digest } = model.made_by;
  at("model").textContent = filled("app.model", { model: name, digest: digest.slice(0, 12) });
  judgeButtons();
  await refresh();
}

// The reading.

let model = null;
let details = { language: "en", patient: "", slide: "", operator: "", read_on: today(), red_cells_per_microlitre: null };
// As the program describes them and, where they are at hand, with the photograph (`file`), a form of it that browsers show (`picture`), the
// address of that (`url`), and pictures of cells (`crops`).
let fields = [];
let undo = [];
let work = Promise.resolve();

function today() {
  const now = new Date();
  return new Date(now - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

const recorded = ({ file, picture, url, crops, ...field }) => field;
const reading = () => ({ format_version: 1, ...details, made_by: model.made_by, fields: fields.map(recorded) });
// Without outlines, which are most of it.
const brief = () => {
  const whole = reading();
  const bare = ({ outline, ...object }) => object;
  return { ...whole, fields: whole.fields.map((field) => ({ ...field, objects: field.objects.map(bare) })) };
};

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error(text("status.stopped"));
  }
  const type = response.headers.get("Content-Type") ?? "";
  if (type.startsWith("application/json")) {
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  }
  if (!response.ok || (!type.startsWith("image/jpeg") && !type.startsWith("text/html"))) {
    throw new Error(text("status.unexpected"));
  }
  return response.blob();
}

function form(...parts) {
  const data = new FormData();
  for (const [name, part] of parts) data.append("picture", part, name);
  return { method: "POST", body: data };
}

// What the browser keeps: records by their photograph's hash, photographs by it, and the details.

const store = {
  base: null,
  async open() {
    this.base = await new Promise((opened, failed) => {
      const request = indexedDB.open("malaria-smear", 1);
      request.onupgradeneeded = () => ["records", "photographs", "details"].forEach((name) => request.result.createObjectStore(name));
      request.onsuccess = () => opened(request.result);
      request.onerror = () => failed(request.error);
    });
  },
  request(name, mode, make) {
    if (this.base === null) return Promise.reject(new Error("closed"));
    return new Promise((done, failed) => {
      const transaction = this.base.transaction(name, mode);
      const request = make(transaction.objectStore(name));
      transaction.oncomplete = () => done(request.result);
      transaction.onabort = transaction.onerror = () => failed(transaction.error ?? request.error);
    });
  },
  put: (name, key, value) => store.request(name, "readwrite", (objects) => objects.put(value, key)),
  all: (name) => store.request(name, "readonly", (objects) => objects.getAll()),
  get: (name, key) => store.request(name, "readonly", (objects) => objects.get(key)),
  remove: (name, key) => store.request(name, "readwrite", (objects) => objects.delete(key)),
  clear: (name) => store.request(name, "readwrite", (objects) => objects.clear()),
};

function warnOfStorage(key) {
  at("storage").hidden = false;
  at("storage").textContent = text(key);
}

function keep(field) {
  return store
    .put("records", field.sha256, { place: fields.indexOf(field), field: recorded(field) })
    .catch(() => warnOfStorage("storage.none"));
}

function keepDetails() {
  return store.put("details", "details", details).catch(() => warnOfStorage("storage.none"));
}

async function keepPhotograph(field) {
  if (store.base === null) return warnOfStorage("storage.none");
  await store.put("photographs", field.sha256, field.file).catch(() => warnOfStorage("storage.full"));
}

async function restore() {
  try {
    await store.open();
  } catch {
    return warnOfStorage("storage.none");
  }
  details = { ...details, ...(await store.get("details", "details")) };
  const records = (await store.all("records")).sort((a, b) => a.place - b.place);
  for (const { field } of records) {
    fields.push(field);
    const file = await store.get("photographs", field.sha256);
    if (file) await show(field, file);
  }
}

// Photographs.

// Gives a field its photograph, and the gallery the pictures of its cells.
async function show(field, file) {
  field.file = file;
  let shown = file;
  let bitmap = await createImageBitmap(file).catch(() => null);
  if (bitmap === null && field.refusal !== "photo") {
    shown = await ask("/picture", form([file.name, file]));
    bitmap = await createImageBitmap(shown);
  }
  if (field.url) URL.revokeObjectURL(field.url);
  field.picture = shown;
  field.url = bitmap === null ? null : URL.createObjectURL(shown);
  field.crops = new Map();
  if (bitmap === null) return;
  for (const object of field.objects.filter(({ probability }) => probability !== null)) field.crops.set(object, crop(bitmap, object));
  bitmap.close();
}

function crop(bitmap, { x, y, width, height }) {
  // With the surroundings, by which people judge.
  const side = 1.4 * Math.max(width, height);
  const canvas = new OffscreenCanvas(CROP, CROP);
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, CROP, CROP);
  context.drawImage(bitmap, x + (width - side) / 2, y + (height - side) / 2, side, side, 0, 0, CROP, CROP);
  return canvas.transferToImageBitmap();
}

function say(words, failed = false) {
  at("status").textContent = words;
  at("status").classList.toggle("failed", failed);
}

async function read(files) {
  const photos = files.filter((file) => (PICTURE.test(file.name) || file.type.startsWith("image/")) && !HIDDEN.test(file.name));
  if (photos.length === 0) return say(text("status.none"), true);
  const notes = [];
  const skipped = files.length - photos.length;
  if (skipped > 0) notes.push(filled("status.skipped", { number: skipped }));
  const progress = at("progress");
  progress.hidden = false;
  progress.max = photos.length;
  let done = 0;
  for (const [i, file] of photos.entries()) {
    progress.value = i;
    say(filled("status.working", { done: i + 1, all: photos.length, name: file.name }));
    try {
      if (file.size > LARGEST_PHOTO) throw new Error(filled("status.too-large", { limit: LARGEST_PHOTO / 1024 / 1024 }));
      const found = await ask("/smear", form([file.name, file]));
      const known = fields.find((field) => field.sha256 === found.sha256);
      const copied = fields.find((field) => field.count.pixels_sha256 !== null && field.count.pixels_sha256 === found.count.pixels_sha256);
      if (known && !known.file) {
        await show(known, file);
        await keepPhotograph(known);
      } else if (copied ?? known) {
        notes.push(filled("status.copy", { name: file.name, first: (copied ?? known).count.image }));
      } else {
        fields.push(found);
        await show(found, file);
        await keep(found);
        await keepPhotograph(found);
      }
      done += 1;
    } catch (error) {
      notes.push(filled("status.failed", { name: file.name, reason: error.message }));
    }
    await refresh();
  }
  progress.hidden = true;
  say([filled("status.done", { done }), ...notes].join(" · "), done < photos.length);
}

// All files that were dropped or are in dropped folders, except in hidden folders.
async function dropped(items) {
  const entries = items.map((item) => item.webkitGetAsEntry()).filter((entry) => entry);
  const files = [];
  while (entries.length > 0) {
    const entry = entries.shift();
    if (entry.isFile) {
      files.push(await new Promise((found, failed) => entry.file(found, failed)));
    } else {
      const reader = entry.createReader();
      // A folder is read in portions until an empty one.
      for (let portion = null; portion === null || portion.length > 0; ) {
        portion = await new Promise((found, failed) => reader.readEntries(found, failed));
        entries.push(...portion.filter((inner) => inner.isFile || !HIDDEN.test(inner.name)));
      }
    }
  }
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

// One list of files after the other.
function enqueue(list) {
  work = work.then(async () => read(await list)).catch((error) => say(error.message, true));
}

// Corrections. A change is a function that makes it and returns the one that takes it back.

async function apply(field, change) {
  undo.push({ field, back: change() });
  await changed(field);
}

async function takeBack() {
  const last = undo.pop();
  if (!last) return;
  last.back();
  await changed(last.field);
}

async function changed(field) {
  await keep(field);
  if (at("viewer").open) draw();
  for (const tile of document.querySelectorAll(".cell")) mark(tile);
  await summarise();
  listFields();
}

function judge(field, object, judgement) {
  return apply(field, () => {
    const before = object.judgement;
    object.judgement = judgement;
    return () => {
      if (before === undefined) delete object.judgement;
      else object.judgement = before;
    };
  });
}

function addCell(field, x, y) {
  const cell = { x: Math.round(x), y: Math.round(y), infected: true };
  return apply(field, () => {
    field.added.push(cell);
    return () => field.added.splice(field.added.indexOf(cell), 1);
  }).then(() => select(cell));
}

function judgeAdded(field, cell, judgement) {
  return apply(field, () => {
    const { infected } = cell;
    const place = field.added.indexOf(cell);
    if (judgement === "no-red-cell") {
      field.added.splice(place, 1);
      return () => field.added.splice(place, 0, cell);
    }
    cell.infected = judgement === "infected";
    return () => (cell.infected = infected);
  });
}

// Results.

let asked = 0;

async function summarise() {
  const number = (asked += 1);
  at("reading").hidden = fields.length === 0;
  if (fields.length === 0) return;
  const summary = await ask("/summary", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(brief()),
  });
  // Of several answers only the last one counts.
  if (number === asked) results(summary);
}

function results({ machine, suspects, reviewed, corrected }) {
  const verdict = machine?.verdict ?? null;
  const fill = (id, words) => {
    at(id).textContent = words ?? "";
    if (id.includes("per-microlitre")) at(id).parentElement.hidden = words === null;
  };
  fill("call", machine && machine.red_cells > 0 ? callWords(machine) : text("result.none"));
  fill("red-cells", numbers.format(machine?.red_cells ?? 0));
  fill("infected", numbers.format(machine?.infected ?? 0));
  fill("share", verdict ? shareOf(verdict.infected_share, verdict.interval) : "–");
  fill("per-microlitre", machine?.infected_per_microlitre ? perMicrolitre(machine.infected_per_microlitre) : null);
  const warnings = [];
  if (verdict?.unfamiliar) warnings.push(text("call.unfamiliar"));
  if (verdict?.learned_from) warnings.push(text("call.learned-from"));
  at("unfamiliar").hidden = warnings.length === 0;
  at("unfamiliar").textContent = warnings.join(" ");
  fill("review-progress", suspects === 0 ? text("result.no-suspects") : filled("result.progress", { reviewed, suspects }));
  at("reviewed").max = Math.max(suspects, 1);
  at("reviewed").value = suspects === 0 ? 1 : reviewed;
  at("corrected").hidden = corrected === null;
  fill("review-note", text(corrected === null ? "result.pending" : "result.interval-note"));
  if (corrected === null) return;
  fill("corrected-red-cells", numbers.format(corrected.red_cells));
  fill("corrected-infected", numbers.format(corrected.infected));
  fill("corrected-share", shareOf(corrected.infected_share, corrected.interval));
  fill("corrected-per-microlitre", corrected.infected_per_microlitre ? perMicrolitre(corrected.infected_per_microlitre) : null);
}

function callWords({ verdict, red_cells: cells }) {
  if (verdict === null) return text("call.no-rule");
  const limit = "detection_limit" in verdict ? percent(verdict.detection_limit) : "";
  return filled(`call.${verdict.call}`, { limit, cells: numbers.format(cells), more: numbers.format(verdict.more_cells ?? 0) });
}

// The gallery.

let shownUncertain = PORTION;

function element(name, words, className) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  if (className) made.className = className;
  return made;
}

const cells = (wanted) =>
  fields
    .flatMap((field) => field.objects.map((object, i) => ({ field, object, number: i + 1 })))
    .filter(({ object }) => object.probability !== null && object.infected === wanted)
    .sort((a, b) => b.object.probability - a.object.probability);

function gallery() {
  const others = cells(false);
  const focused = document.activeElement?.object;
  at("suspects").replaceChildren(...cells(true).map(tile));
  at("uncertain").replaceChildren(...others.slice(0, shownUncertain).map(tile));
  at("more").hidden = others.length <= shownUncertain;
  // A person who is reviewing goes on where they were.
  if (focused) [...document.querySelectorAll(".cell")].find(({ object }) => object === focused)?.focus();
}

function tile({ field, object, number }) {
  const made = element("button", undefined, "cell");
  made.type = "button";
  Object.assign(made, { field, object });
  const picture = element("canvas");
  picture.width = picture.height = CROP;
  const bitmap = field.crops?.get(object);
  if (bitmap) picture.getContext("2d").drawImage(bitmap, 0, 0);
  const probability = percent(object.probability);
  made.append(picture, element("span", probability), element("span", "", "judgement"));
  made.words = filled("gallery.cell", { number, image: field.count.image, probability });
  made.addEventListener("click", () => view(field, object));
  mark(made);
  return made;
}

function mark(made) {
  const { judgement } = made.object;
  made.dataset.judgement = judgement ?? "none";
  const words = text(`judge.${judgement ?? "none"}`);
  made.querySelector(".judgement").textContent = words;
  made.setAttribute("aria-label", `${made.words}. ${words}`);
}

// By the arrow keys: to the nearest tile in a direction.
function neighbour(tile, key) {
  const tiles = [...tile.parentElement.children];
  const own = tiles.indexOf(tile);
  const perRow = tiles.filter((other) => other.offsetTop === tiles[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow, ArrowDown: perRow }[key];
  return tiles[own + step] ?? null;
}

async function galleryKey(event) {
  const made = event.target.closest?.(".cell");
  if (!made || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (event.key.startsWith("Arrow")) {
    event.preventDefault();
    neighbour(made, event.key)?.focus();
  } else if (key in JUDGEMENTS) {
    event.preventDefault();
    (made.nextElementSibling ?? made).focus();
    await judge(made.field, made.object, JUDGEMENTS[key]);
  }
}

// The list of photographs.

function remarks({ refusal, count, file }) {
  const words = [];
  if (refusal) words.push(text(`refusal.${refusal}`));
  else words.push(...count.caveats.map((caveat) => text(`caveat.${caveat}`)));
  if (count.unfamiliar) words.push(text("caveat.unfamiliar"));
  if (count.warned_of > 0) words.push(filled("caveat.warned", { number: count.warned_of }));
  if (!file) words.push(text("storage.missing"));
  return words.join(" · ");
}

function listFields() {
  const row = (field) => {
    const item = element("li");
    const open = element("button", undefined, "field");
    open.type = "button";
    open.disabled = !field.url;
    open.setAttribute("aria-label", filled("fields.open", { name: field.count.image }));
    const picture = element("img");
    picture.alt = "";
    if (field.url) picture.src = field.url;
    open.append(picture);
    open.addEventListener("click", () => view(field, null));
    const about = element("div");
    const counts = [
      label(text("result.red-cells"), field.count.red_cells),
      label(text("result.infected"), field.count.infected),
      ...["white-cell", "clump"].map((kind) => [kind, field.objects.filter((object) => object.kind === kind).length])
        .filter(([, number]) => number > 0)
        .map(([kind, number]) => label(text(`kind.${kind}`), number)),
    ];
    if (field.added.length > 0) counts.push(label(text("kind.added"), field.added.length));
    about.append(element("strong", field.count.image), element("span", counts.join(" · "), "muted"));
    const words = remarks(field);
    if (words) about.append(element("span", words, "note"));
    const remove = element("button", text("fields.remove"));
    remove.type = "button";
    remove.setAttribute("aria-label", label(text("fields.remove"), field.count.image));
    remove.addEventListener("click", () => removeField(field));
    item.append(open, about, remove);
    return item;
  };
  at("fields").replaceChildren(...fields.map(row));
}

async function removeField(field) {
  if (!confirm(filled("fields.remove-question", { name: field.count.image }))) return;
  fields.splice(fields.indexOf(field), 1);
  undo = undo.filter((change) => change.field !== field);
  if (field.url) URL.revokeObjectURL(field.url);
  await Promise.all(["records", "photographs"].map((name) => store.remove(name, field.sha256).catch(() => {})));
  await refresh();
}

async function refresh() {
  gallery();
  listFields();
  await summarise();
}

// The viewer: a photograph with outlines, which can be enlarged and moved.

const shown = { field: null, cell: null, scale: 1, x: 0, y: 0, adding: false, outlines: true };
const SVG = "http://www.w3.org/2000/svg";

function view(field, object) {
  if (!field.url) return;
  Object.assign(shown, { field, cell: object, adding: false });
  at("viewer-title").textContent = field.count.image;
  at("photo").src = field.url;
  for (const part of [at("photo"), at("overlay"), at("sheet")]) {
    part.style.width = `${field.width}px`;
    part.style.height = `${field.height}px`;
  }
  at("overlay").setAttribute("viewBox", `0 0 ${field.width} ${field.height}`);
  at("viewer").showModal();
  if (object) {
    const { width, height } = at("stage").getBoundingClientRect();
    centre(object, Math.min(width, height) / (5 * Math.max(object.width, object.height)));
  } else {
    fit();
  }
  draw();
  at("stage").focus();
}

const middleOf = (cell) => ("width" in cell ? [cell.x + cell.width / 2, cell.y + cell.height / 2] : [cell.x, cell.y]);

function centre(cell, scale) {
  const { width, height } = at("stage").getBoundingClientRect();
  const [x, y] = middleOf(cell);
  place(scale, width / 2 - scale * x, height / 2 - scale * y);
}

function fit() {
  const { width, height } = at("stage").getBoundingClientRect();
  const { field } = shown;
  const scale = Math.min(width / field.width, height / field.height);
  place(scale, (width - scale * field.width) / 2, (height - scale * field.height) / 2);
}

function place(scale, x, y) {
  const { width, height } = at("stage").getBoundingClientRect();
  const { field } = shown;
  shown.scale = Math.min(Math.max(scale, 0.02), 20);
  // Part of the photograph stays in view.
  const within = (value, size, whole) => Math.min(Math.max(value, size / 2 - whole), size / 2);
  shown.x = within(x, width, shown.scale * field.width);
  shown.y = within(y, height, shown.scale * field.height);
  at("sheet").style.transform = `translate(${shown.x}px, ${shown.y}px) scale(${shown.scale})`;
}

// Enlarges around a point of the stage, by default its middle.
function zoom(factor, point) {
  const { width, height } = at("stage").getBoundingClientRect();
  const [x, y] = point ?? [width / 2, height / 2];
  const scale = Math.min(Math.max(shown.scale * factor, 0.02), 20);
  place(scale, x - (scale / shown.scale) * (x - shown.x), y - (scale / shown.scale) * (y - shown.y));
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

function classOf({ judgement, kind, infected }) {
  if (judgement !== undefined) return judgement === "infected" ? "judged-infected" : "judged-other";
  if (kind !== "red-cell") return "other";
  return infected ? "infected" : "uninfected";
}

const radius = () => (shown.field.count.cell_diameter ?? 40) / 2;

function draw() {
  const { field, cell } = shown;
  const outlines = field.objects.map((object) => {
    const made = shape("polygon", { points: object.outline.map((corner) => corner.join(",")).join(" "), class: classOf(object) });
    if (object === cell) made.classList.add("selected");
    return made;
  });
  const added = field.added.map((one) => {
    const made = shape("circle", { cx: one.x, cy: one.y, r: radius(), class: one.infected ? "judged-infected" : "judged-other" });
    if (one === cell) made.classList.add("selected");
    return made;
  });
  at("overlay").replaceChildren(...outlines, ...added);
  at("overlay").classList.toggle("hidden", !shown.outlines);
  at("outlines").setAttribute("aria-pressed", shown.outlines);
  at("add").setAttribute("aria-pressed", shown.adding);
  at("cross").hidden = !shown.adding;
  at("viewer-help").textContent = text(shown.adding ? "viewer.add-help" : "viewer.help");
  at("selected").textContent = cell ? cellWords(field, cell) : text("viewer.nothing");
  for (const button of at("judge").children) button.disabled = cell === null && button.dataset.judgement !== undefined;
}

function cellWords(field, cell) {
  if (!("width" in cell)) return label(text("kind.added"), text(cell.infected ? "judge.infected" : "judge.uninfected"));
  const judgement = text(`judge.${cell.judgement ?? "none"}`);
  if (cell.probability === null) return `${text(`kind.${cell.kind}`)}. ${judgement}`;
  const values = { number: field.objects.indexOf(cell) + 1, image: field.count.image, probability: percent(cell.probability) };
  return `${filled("gallery.cell", values)}. ${judgement}`;
}

function select(cell) {
  shown.cell = cell;
  draw();
}

// The smallest thing around a point of the photograph.
function cellAt(x, y) {
  const { field } = shown;
  const near = field.added.find((cell) => Math.hypot(cell.x - x, cell.y - y) <= radius());
  const inside = field.objects.filter((one) => x >= one.x && y >= one.y && x < one.x + one.width && y < one.y + one.height);
  return near ?? inside.sort((a, b) => a.width * a.height - b.width * b.height)[0] ?? null;
}

function judgeSelected(judgement) {
  const { field, cell } = shown;
  if (cell === null) return;
  if ("width" in cell) return judge(field, cell, judgement);
  if (judgement === "no-red-cell") shown.cell = null;
  return judgeAdded(field, cell, judgement);
}

function judgeButtons() {
  const buttons = Object.entries(JUDGEMENTS).map(([key, judgement]) => {
    const made = element("button", `${text(`judge.${judgement}`)} (${key})`);
    made.type = "button";
    made.dataset.judgement = judgement;
    made.addEventListener("click", () => judgeSelected(judgement));
    return made;
  });
  const back = element("button", `${text("judge.undo")} (z)`);
  back.type = "button";
  back.addEventListener("click", takeBack);
  at("judge").replaceChildren(...buttons, back);
}

function addHere([x, y]) {
  const { field, scale } = shown;
  const [across, down] = [(x - shown.x) / scale, (y - shown.y) / scale];
  if (across >= 0 && down >= 0 && across < field.width && down < field.height) addCell(field, Math.min(across, field.width - 1), Math.min(down, field.height - 1));
}

function viewerKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target !== at("stage")) return;
  const key = event.key.toLowerCase();
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const { width, height } = at("stage").getBoundingClientRect();
  if (direction && shown.adding) {
    place(shown.scale, shown.x - 40 * direction[0], shown.y - 40 * direction[1]);
  } else if (direction) {
    step(direction);
  } else if (key === "enter" && shown.adding) {
    addHere([width / 2, height / 2]);
  } else if (key in JUDGEMENTS) {
    judgeSelected(JUDGEMENTS[key]);
  } else if (key === "a") {
    toggleAdding();
  } else if (key === "+" || key === "=") {
    zoom(1.4);
  } else if (key === "-") {
    zoom(1 / 1.4);
  } else if (key === "0") {
    fit();
  } else {
    return;
  }
  event.preventDefault();
}

// Selects the nearest cell in a direction.
function step([right, down]) {
  const all = [...shown.field.objects, ...shown.field.added];
  if (all.length === 0) return;
  if (shown.cell === null) {
    select(all[0]);
  } else {
    const [x, y] = middleOf(shown.cell);
    const distance = (cell) => {
      const [across, along] = [middleOf(cell)[0] - x, middleOf(cell)[1] - y];
      const ahead = across * right + along * down;
      const aside = Math.abs(across * down) + Math.abs(along * right);
      return ahead > 0 ? ahead + 2 * aside : Infinity;
    };
    const next = all.filter((cell) => cell !== shown.cell).sort((a, b) => distance(a) - distance(b))[0];
    if (next && distance(next) < Infinity) select(next);
  }
  centre(shown.cell, shown.scale);
}

function toggleAdding() {
  shown.adding = !shown.adding;
  draw();
}

// One finger or the mouse moves, two fingers enlarge, a short touch selects.
const pointers = new Map();
let moved = 0;

function pointerDown(event) {
  at("stage").setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  if (pointers.size === 1) moved = 0;
}

function stagePoint(event) {
  const { left, top } = at("stage").getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

function pointerMove(event) {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const now = stagePoint(event);
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const apart = (point) => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
    zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    moved = Infinity;
  } else {
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (moved > 6) place(shown.scale, shown.x + now[0] - before[0], shown.y + now[1] - before[1]);
  }
  pointers.set(event.pointerId, now);
}

function pointerUp(event) {
  if (!pointers.delete(event.pointerId) || pointers.size > 0 || moved > 6 || event.type === "pointercancel") return;
  const point = stagePoint(event);
  if (shown.adding) addHere(point);
  else select(cellAt((point[0] - shown.x) / shown.scale, (point[1] - shown.y) / shown.scale));
}

// What is saved.

function save(blob, name) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function csv() {
  const columns = ["image", "sha256", "number", "kind", "x", "y", "width", "height", "probability", "infected", "judgement"];
  const value = (found) => {
    const words = String(found ?? "");
    return /[",\r\n]/.test(words) ? `"${words.replaceAll('"', '""')}"` : words;
  };
  const rows = fields.flatMap(({ count: { image }, sha256, objects, added }) => [
    ...objects.map((object, i) => ({ ...object, image, sha256, number: i + 1 })),
    ...added.map(({ x, y, infected }) => ({ image, sha256, kind: "added", x, y, judgement: infected ? "infected" : "uninfected" })),
  ]);
  return [columns, ...rows.map((row) => columns.map((column) => value(row[column])))].map((row) => row.join(",") + "\n").join("");
}

// A JPEG for the report, as large as it may be there.
async function reportPicture({ picture }) {
  const bitmap = await createImageBitmap(picture);
  const factor = Math.min(1, REPORT_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(factor * bitmap.width), Math.round(factor * bitmap.height));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
}

async function report() {
  const parts = [["reading", new Blob([JSON.stringify(reading())], { type: "application/json" })]];
  for (const [i, field] of fields.entries()) {
    if (field.url) parts.push([String(i), await reportPicture(field)]);
  }
  return ask("/report", form(...parts));
}

async function clear() {
  if (!confirm(text("save.clear-question"))) return;
  fields.forEach(({ url }) => url && URL.revokeObjectURL(url));
  fields = [];
  undo = [];
  details = { ...details, patient: "", slide: "", read_on: today(), red_cells_per_microlitre: null };
  await Promise.all(["records", "photographs"].map((name) => store.clear(name).catch(() => {})));
  await keepDetails();
  fillDetails();
  say("");
  await refresh();
}

function fillDetails() {
  for (const input of at("details").elements) input.value = details[input.name] ?? "";
}

async function detailsChanged() {
  for (const input of at("details").elements) {
    details[input.name] = input.type === "number" ? (input.validity.valid && input.value !== "" ? input.valueAsNumber : null) : input.value;
  }
  await keepDetails();
  await summarise();
}

// Beginning.

const told = (action) => (event) => Promise.resolve(action(event)).catch((error) => say(error.message, true));
const pressed = (id, action) => at(id).addEventListener("click", told(action));

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
  enqueue(dropped([...event.dataTransfer.items].filter((item) => item.kind === "file")));
});
document.addEventListener("keydown", told(galleryKey));
document.addEventListener("keydown", told((event) => {
  const typing = event.target.matches?.("input, select, textarea");
  if (!typing && !event.altKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    return takeBack();
  }
}));
at("details").addEventListener("input", told(detailsChanged));
at("details").addEventListener("submit", (event) => event.preventDefault());
at("language").addEventListener("change", told((event) => speak(event.target.value).then(keepDetails)));
pressed("undo", takeBack);
pressed("more", () => {
  shownUncertain += PORTION;
  gallery();
});
pressed("save-report", async () => save(await report(), "smear-report.html"));
pressed("save-json", () => save(new Blob([JSON.stringify(reading())], { type: "application/json" }), "smear-reading.json"));
pressed("save-csv", () => save(new Blob([csv()], { type: "text/csv" }), "smear-cells.csv"));
pressed("save-photographs", () => fields.forEach(({ file, count }) => file && save(file, count.image)));
pressed("clear", clear);
pressed("viewer-close", () => at("viewer").close());
pressed("outlines", () => {
  shown.outlines = !shown.outlines;
  draw();
});
pressed("zoom-in", () => zoom(1.4));
pressed("zoom-out", () => zoom(1 / 1.4));
pressed("fit", fit);
pressed("add", toggleAdding);
new ResizeObserver(() => at("viewer").open && fit()).observe(at("stage"));
at("viewer").addEventListener("cancel", (event) => {
  if (!shown.adding) return;
  event.preventDefault();
  toggleAdding();
});
at("stage").addEventListener("keydown", viewerKey);
at("stage").addEventListener("pointerdown", pointerDown);
at("stage").addEventListener("pointermove", pointerMove);
for (const name of ["pointerup", "pointercancel"]) at("stage").addEventListener(name, pointerUp);
at("stage").addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, stagePoint(event));
}, { passive: false });

try {
  model = await ask("/model");
  at("language").append(...LANGUAGES.map((language) => {
    const name = new Intl.DisplayNames([language], { type: "language" }).of(language);
    const option = element("option", name);
    option.value = language;
    return option;
  }));
  const preferred = navigator.languages.map((language) => language.slice(0, 2)).find((language) => LANGUAGES.includes(language));
  details.language = preferred ?? "en";
  await restore();
  fillDetails();
  await speak(details.language);
} catch (error) {
  say(error.message, true);
}
