// The list of photographs.

import { at, button, element } from "./elements.js";
import { thumbnailOf } from "./pictures.js";
import { photographs, state } from "./reading.js";
import { filled, label, text } from "./texts.js";

// The item of each field.
const items = new WeakMap();

export function listFields(view, remove) {
  at("fields").replaceChildren(...state.fields.map((field) => itemOf(field, view, remove)));
}

function itemOf(field, view, remove) {
  let item = items.get(field);
  if (item === undefined) {
    item = element("li");
    const open = button("", () => view(field, null));
    open.className = "field";
    item.append(open, element("div"), button("", () => remove(field)));
    items.set(field, item);
  }
  updateField(field);
  return item;
}

export function updateField(field) {
  const item = items.get(field);
  if (item === undefined) return;
  const [open, about, remove] = item.children;
  const { image } = field.count;
  open.disabled = !photographs.get(field)?.url;
  open.setAttribute("aria-label", filled("fields.open", { name: image }));
  const thumbnail = thumbnailOf(field);
  open.replaceChildren(...(thumbnail === null ? [] : [thumbnail]));
  const words = [element("strong", image), element("span", counts(field), "muted")];
  const remarks = remarksOn(field);
  if (remarks !== "") words.push(element("span", remarks, "note"));
  about.replaceChildren(...words);
  remove.textContent = text("fields.remove");
  remove.setAttribute("aria-label", label(text("fields.remove"), image));
}

function counts({ count, objects, added }) {
  const words = [label(text("result.red-cells"), count.red_cells), label(text("result.infected"), count.infected)];
  for (const kind of ["white-cell", "clump"]) {
    const number = objects.filter((object) => object.kind === kind).length;
    if (number > 0) words.push(label(text(`kind.${kind}`), number));
  }
  if (added.length > 0) words.push(label(text("kind.added"), added.length));
  return words.join(" · ");
}

function remarksOn(field) {
  const { refusal, count } = field;
  const words = refusal ? [text(`refusal.${refusal}`)] : count.caveats.map((caveat) => text(`caveat.${caveat}`));
  if (count.unfamiliar) words.push(text("caveat.unfamiliar"));
  if (count.warned > 0) words.push(filled("caveat.warned", { number: count.warned }));
  if (!photographs.has(field)) words.push(text("storage.missing"));
  return words.join(" · ");
}
