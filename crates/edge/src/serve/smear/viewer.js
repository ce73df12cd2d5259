// A photograph with the outlines of the objects found: zoom, move, judge cells and add cells.

import { at, button, reportingErrors } from "./elements.js";
import { focusTile, nextSuspect } from "./gallery.js";
import { JUDGEMENTS, addCell, judge, judgeAdded, photographs, undo } from "./reading.js";
import { filled, label, percent, text } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";
const SCALES = [0.02, 20];
const ZOOM = 1.4;
// Screen pixels by which an arrow key moves the picture.
const STEP = 40;
// Screen pixels that a pointer may move during a click.
const CLICK = 6;

// The field, the selected cell, and the position of the photograph: its scale, the place of its corner in the stage, and the
// size of the stage at that time.
const shown = { field: null, cell: null, scale: 1, x: 0, y: 0, stage: null, adding: false, outlines: true };
const pointers = new Map();
let moved = 0;

export function view(field, cell) {
  if (!photographs.get(field)?.url) return;
  at("viewer").showModal();
  show(field, cell);
  at("stage").focus();
}

// Another photograph.
function show(field, cell) {
  Object.assign(shown, { field, cell, adding: false });
  pointers.clear();
  at("viewer-title").textContent = field.count.image;
  at("photo").src = photographs.get(field).url;
  for (const part of [at("photo"), at("overlay"), at("sheet")]) {
    part.style.width = `${field.width}px`;
    part.style.height = `${field.height}px`;
  }
  at("overlay").setAttribute("viewBox", `0 0 ${field.width} ${field.height}`);
  draw();
  if (cell) {
    const { width, height } = stage();
    centre(cell, Math.min(width, height) / (isAdded(cell) ? 10 * radius() : 5 * Math.max(cell.width, cell.height)));
  } else {
    fit();
  }
}

// Selects a cell and moves it to the middle, if it still exists.
export function goTo(field, cell) {
  if (![...field.objects, ...field.added].includes(cell) || !photographs.get(field)?.url) return;
  if (field !== shown.field) return show(field, cell);
  select(cell);
  centre(cell, shown.scale);
}

export function updateViewer(field) {
  if (!at("viewer").open || (field !== null && field !== shown.field)) return;
  const { objects, added } = shown.field;
  if (![...objects, ...added].includes(shown.cell)) shown.cell = null;
  draw();
}

const stage = () => at("stage").getBoundingClientRect();
const isAdded = (cell) => !("width" in cell);
const middleOf = (cell) => (isAdded(cell) ? [cell.x, cell.y] : [cell.x + cell.width / 2, cell.y + cell.height / 2]);
const radius = () => (shown.field.count.cell_diameter ?? 40) / 2;

function place(scale, x, y) {
  const { width, height } = stage();
  const { field } = shown;
  shown.stage = [width, height];
  shown.scale = Math.min(Math.max(scale, SCALES[0]), SCALES[1]);
  // Part of the photograph stays in view.
  const within = (value, size, whole) => Math.min(Math.max(value, size / 2 - whole), size / 2);
  shown.x = within(x, width, shown.scale * field.width);
  shown.y = within(y, height, shown.scale * field.height);
  // Outlines have the same width on the screen at every scale.
  at("sheet").style.setProperty("--pixel", `${1 / shown.scale}px`);
  at("sheet").style.transform = `translate(${shown.x}px, ${shown.y}px) scale(${shown.scale})`;
}

function centre(cell, scale) {
  const { width, height } = stage();
  const [x, y] = middleOf(cell);
  place(scale, width / 2 - scale * x, height / 2 - scale * y);
}

function fit() {
  const { width, height } = stage();
  const { field } = shown;
  const scale = Math.min(width / field.width, height / field.height);
  place(scale, (width - scale * field.width) / 2, (height - scale * field.height) / 2);
}

// Keeps the middle in place when the size of the stage changes, for example when a phone is turned.
function resized() {
  if (!at("viewer").open || shown.stage === null) return;
  const { width, height } = stage();
  place(shown.scale, shown.x + (width - shown.stage[0]) / 2, shown.y + (height - shown.stage[1]) / 2);
}

function middle() {
  const { width, height } = stage();
  return [width / 2, height / 2];
}

// Zooms around a point of the stage, by default its middle, and moves it to another one.
function zoom(factor, from = middle(), to = from) {
  const scale = Math.min(Math.max(shown.scale * factor, SCALES[0]), SCALES[1]);
  const [x, y] = [from[0] - shown.x, from[1] - shown.y].map((distance) => (scale / shown.scale) * distance);
  place(scale, to[0] - x, to[1] - y);
}

function shape(name, attributes, cell) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.classList.add(classOf(cell));
  made.classList.toggle("selected", cell === shown.cell);
  return made;
}

function classOf(cell) {
  const { judgement, kind, infected } = cell;
  if (isAdded(cell)) return infected ? "judged-infected" : "judged-other";
  if (judgement !== undefined) return judgement === "infected" ? "judged-infected" : "judged-other";
  if (kind !== "red-cell") return "other";
  return infected ? "infected" : "uninfected";
}

function draw() {
  const { field, cell } = shown;
  const corners = (object) => object.outline.map((corner) => corner.join(",")).join(" ");
  at("overlay").replaceChildren(
    ...field.objects.map((object) => shape("polygon", { points: corners(object) }, object)),
    ...field.added.map((one) => shape("circle", { cx: one.x, cy: one.y, r: radius() }, one)),
  );
  at("overlay").classList.toggle("hidden", !shown.outlines);
  at("outlines").setAttribute("aria-pressed", shown.outlines);
  at("add").setAttribute("aria-pressed", shown.adding);
  at("cross").hidden = !shown.adding;
  at("viewer-help").textContent = text(shown.adding ? "viewer.add-help" : "viewer.help");
  at("selected").textContent = cell ? cellWords(cell) : text("viewer.nothing");
  for (const one of at("judge").children) one.disabled = cell === null && one.dataset.judgement !== undefined;
}

function cellWords(cell) {
  const { field } = shown;
  if (isAdded(cell)) return label(text("kind.added"), text(cell.infected ? "judge.infected" : "judge.uninfected"));
  const judgement = text(`judge.${cell.judgement ?? "none"}`);
  if (cell.probability === null) return `${text(`kind.${cell.kind}`)}. ${judgement}`;
  const values = { number: field.objects.indexOf(cell) + 1, image: field.count.image, probability: percent(cell.probability) };
  return `${filled("gallery.cell", values)}. ${judgement}`;
}

function select(cell) {
  shown.cell = cell;
  draw();
}

// The smallest object around a point of the photograph.
function cellAt(x, y) {
  const { field } = shown;
  const near = field.added.find((cell) => Math.hypot(cell.x - x, cell.y - y) <= radius());
  const inside = field.objects.filter((one) => x >= one.x && y >= one.y && x < one.x + one.width && y < one.y + one.height);
  return near ?? inside.sort((a, b) => a.width * a.height - b.width * b.height)[0] ?? null;
}

// A suspect is followed by the next one that has not been judged.
async function judgeSelected(judgement) {
  const { field, cell } = shown;
  if (cell === null) return;
  if (isAdded(cell)) return judgeAdded(field, cell, judgement);
  const judging = judge(field, cell, judgement);
  const next = cell.infected ? nextSuspect(cell) : null;
  if (next !== null) goTo(next.field, next.object);
  await judging;
}

export function makeJudgeButtons() {
  const buttons = Object.entries(JUDGEMENTS).map(([key, judgement]) => {
    const made = button(`${text(`judge.${judgement}`)} (${key})`, () => judgeSelected(judgement));
    made.dataset.judgement = judgement;
    return made;
  });
  at("judge").replaceChildren(...buttons, button(`${text("judge.undo")} (z)`, () => undo(goTo)));
}

async function addAt([x, y]) {
  const { field, scale } = shown;
  const [across, down] = [Math.round((x - shown.x) / scale), Math.round((y - shown.y) / scale)];
  if (across < 0 || down < 0 || across >= field.width || down >= field.height) return;
  shown.cell = { x: across, y: down, infected: true };
  await addCell(field, shown.cell);
}

function toggleAdding() {
  shown.adding = !shown.adding;
  // Where Enter adds a cell; on the button, it would press the button.
  if (shown.adding) at("stage").focus();
  draw();
}

const keyPressed = reportingErrors(async (event) => {
  if (!at("viewer").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const actions = {
    enter: event.target === at("stage") && shown.adding ? () => addAt(middle()) : undefined,
    a: toggleAdding,
    "+": () => zoom(ZOOM),
    "=": () => zoom(ZOOM),
    "-": () => zoom(1 / ZOOM),
    0: fit,
  };
  const action = key in JUDGEMENTS ? () => judgeSelected(JUDGEMENTS[key]) : direction ? () => step(direction) : actions[key];
  if (action === undefined) return;
  event.preventDefault();
  await action();
});

// Moves the picture while a cell is added, else selects the nearest cell in a direction.
function step([right, down]) {
  if (shown.adding) return place(shown.scale, shown.x - STEP * right, shown.y - STEP * down);
  const all = [...shown.field.objects, ...shown.field.added];
  if (all.length === 0) return;
  if (shown.cell === null) {
    select(all[0]);
  } else {
    const [x, y] = middleOf(shown.cell);
    const distance = (cell) => {
      const [across, along] = [middleOf(cell)[0] - x, middleOf(cell)[1] - y];
      const ahead = across * right + along * down;
      return ahead > 0 ? ahead + 2 * Math.abs(across * down + along * right) : Infinity;
    };
    const next = all.filter((cell) => cell !== shown.cell).sort((a, b) => distance(a) - distance(b))[0];
    if (next && distance(next) < Infinity) select(next);
  }
  centre(shown.cell, shown.scale);
}

// One finger or the mouse moves the picture, two fingers move and zoom it, a short touch selects.

function pointOf(event) {
  const { left, top } = stage();
  return [event.clientX - left, event.clientY - top];
}

function pointerDown(event) {
  if (event.button !== 0) return;
  at("stage").setPointerCapture(event.pointerId);
  if (pointers.size === 0) moved = 0;
  pointers.set(event.pointerId, pointOf(event));
}

function pointerMoved(event) {
  const before = pointers.get(event.pointerId);
  if (before === undefined) return;
  const now = pointOf(event);
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const apart = (point) => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
    const between = (point) => [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2];
    zoom(apart(now) / apart(before), between(before), between(now));
    moved = Infinity;
  } else {
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (moved > CLICK) place(shown.scale, shown.x + now[0] - before[0], shown.y + now[1] - before[1]);
  }
  pointers.set(event.pointerId, now);
}

const pointerUp = reportingErrors(async (event) => {
  if (!pointers.delete(event.pointerId) || pointers.size > 0 || moved > CLICK || event.type === "pointercancel") return;
  const point = pointOf(event);
  if (shown.adding) await addAt(point);
  else select(cellAt((point[0] - shown.x) / shown.scale, (point[1] - shown.y) / shown.scale));
});

export function startViewer() {
  const pressed = (id, action) => at(id).addEventListener("click", action);
  pressed("viewer-close", () => at("viewer").close());
  pressed("outlines", () => {
    shown.outlines = !shown.outlines;
    draw();
  });
  pressed("zoom-in", () => zoom(ZOOM));
  pressed("zoom-out", () => zoom(1 / ZOOM));
  pressed("fit", fit);
  pressed("add", toggleAdding);
  at("viewer").addEventListener("close", () => focusTile(shown.field, shown.cell));
  at("viewer").addEventListener("cancel", (event) => {
    if (!shown.adding) return;
    event.preventDefault();
    toggleAdding();
  });
  const area = at("stage");
  new ResizeObserver(resized).observe(area);
  // Safari gives the focus to no button that is clicked, so keys may be pressed on nothing.
  document.addEventListener("keydown", keyPressed);
  area.addEventListener("pointerdown", pointerDown);
  area.addEventListener("pointermove", pointerMoved);
  for (const name of ["pointerup", "pointercancel"]) area.addEventListener(name, pointerUp);
  const wheel = (event) => {
    event.preventDefault();
    if (event.deltaY !== 0) zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, pointOf(event));
  };
  area.addEventListener("wheel", wheel, { passive: false });
}
