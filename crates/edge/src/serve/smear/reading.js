// The smear being read: its fields as the program describes them, with the person's judgements, and changes that can be undone.

import { saveDetails, saveRecord } from "./store.js";

export const JUDGEMENTS = { i: "infected", n: "uninfected", x: "no-red-cell" };

export const state = {
  model: null,
  details: { language: "en", patient: "", slide: "", operator: "", read_on: "", red_cells_per_microlitre: null, looked_through: false },
  fields: [],
  // Raised when everything is cleared: work begun before that is abandoned.
  generation: 0,
};

// For each available field: the photograph's `file`, a `picture` of it that browsers can show, and the picture's `url`.
export const photographs = new WeakMap();

let changes = [];
let order = 0;
let listeners = [];

// Listeners get the changed field, or nothing if fields were added or removed or details changed.
export function onChange(listener) {
  listeners.push(listener);
}

export function changed(field = null) {
  listeners.forEach((listener) => listener(field));
}

export function today() {
  const now = new Date();
  return new Date(now - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 10);
}

export const record = () => ({ format_version: 2, ...state.details, made_by: state.model.made_by, fields: state.fields });

// Without the outlines, which take most of the space.
export function recordWithoutOutlines() {
  const bare = ({ outline, ...object }) => object;
  return { ...record(), fields: state.fields.map((field) => ({ ...field, objects: field.objects.map(bare) })) };
}

const orders = new WeakMap();

export function saveField(field) {
  if (!orders.has(field)) orders.set(field, (order += 1));
  return saveRecord(field.sha256, { order: orders.get(field), model: state.model.made_by.model_sha256, field });
}

export function restoreOrder(field, number) {
  orders.set(field, number);
  order = Math.max(order, number);
}

export async function setDetails(details) {
  Object.assign(state.details, details);
  await saveDetails(state.details);
}

export async function removeFromReading(field) {
  state.fields.splice(state.fields.indexOf(field), 1);
  changes = changes.filter((change) => change.field !== field);
  await setDetails({ looked_through: false });
}

export function forgetChanges() {
  changes = [];
}

// Makes a change of a cell: `change` applies it and returns the function that undoes it.
async function apply(field, cell, change) {
  changes.push({ field, cell, back: change() });
  changed(field);
  await saveField(field);
}

// `goTo` leads to the cell.
export async function undo(goTo) {
  const last = changes.pop();
  if (last === undefined) return;
  const { field, cell, back } = last;
  back();
  changed(field);
  goTo(field, cell);
  await saveField(field);
}

export function judge(field, object, judgement) {
  return apply(field, object, () => {
    const before = object.judgement;
    object.judgement = judgement;
    return () => {
      if (before === undefined) delete object.judgement;
      else object.judgement = before;
    };
  });
}

export function addCell(field, cell) {
  return apply(field, cell, () => {
    field.added.push(cell);
    return () => field.added.splice(field.added.indexOf(cell), 1);
  });
}

export async function judgeAdded(field, cell, judgement) {
  const place = field.added.indexOf(cell);
  if (place < 0) return;
  await apply(field, cell, () => {
    if (judgement === "no-red-cell") {
      field.added.splice(place, 1);
      return () => field.added.splice(place, 0, cell);
    }
    const { infected } = cell;
    cell.infected = judgement === "infected";
    return () => (cell.infected = infected);
  });
}

// A person's corrections of an earlier reading of the same photograph.
export function carryOver(earlier, field) {
  const place = ({ x, y, width, height }) => [x, y, width, height].join();
  const judged = new Map(earlier.objects.filter(({ judgement }) => judgement !== undefined).map((object) => [place(object), object]));
  for (const object of field.objects) {
    const before = judged.get(place(object));
    if (before !== undefined) object.judgement = before.judgement;
  }
  field.added = earlier.added;
}
