// The cells that a person reviews: those called infected, then the others by falling probability.

import { at, element, reportingErrors } from "./elements.js";
import { cellPicture, cutOut } from "./pictures.js";
import { JUDGEMENTS, judge, photographs, state } from "./reading.js";
import { filled, percent, text } from "./texts.js";

// Number of cells not called infected that are shown at first and added by each request for more.
const PORTION = 30;

let shownOthers = PORTION;
// The tile of each object.
const tiles = new WeakMap();

function cells(infected) {
  const of = (field) => field.objects.map((object, i) => ({ field, object, number: i + 1 }));
  return state.fields
    .flatMap(of)
    .filter(({ object }) => object.probability !== null && object.infected === infected)
    .sort((a, b) => b.object.probability - a.object.probability);
}

// The first suspect after this one that has not been judged, from the beginning again after the last one.
export function nextSuspect(object) {
  const all = cells(true);
  const place = all.findIndex((cell) => cell.object === object);
  const open = ({ field, object: { judgement } }) => judgement === undefined && photographs.get(field)?.url;
  return [...all.slice(place + 1), ...all.slice(0, place)].find(open) ?? null;
}

export async function updateGallery(view) {
  const focused = document.activeElement?.object;
  const others = cells(false);
  const groups = { suspects: cells(true), uncertain: others.slice(0, shownOthers) };
  for (const [id, shown] of Object.entries(groups)) {
    const all = shown.map((cell) => tileOf(cell, view));
    at(id).replaceChildren(...all);
    const enabled = all.filter((tile) => !tile.disabled);
    setTabStop(at(id), enabled.find((tile) => tile.tabIndex === 0) ?? enabled[0]);
  }
  at("more").hidden = others.length <= shownOthers;
  // Keeps the focus, so that the person continues where they were.
  if (focused) tiles.get(focused)?.focus();
  const shown = Object.values(groups).flat();
  for (const field of state.fields) {
    const own = shown.filter((cell) => cell.field === field);
    await cutOut(field, own.map(({ object }) => object));
    own.forEach(({ object }) => updateTile(tiles.get(object)));
  }
}

export async function showMore(view) {
  shownOthers += PORTION;
  await updateGallery(view);
}

// The Tab key stops at one tile of each gallery, the last one used; the arrow keys lead to the others.
function setTabStop(gallery, stop) {
  for (const tile of gallery.children) tile.tabIndex = tile === stop ? 0 : -1;
}

function tileOf({ field, object, number }, view) {
  let tile = tiles.get(object);
  if (tile === undefined) {
    tile = element("button", undefined, "cell");
    tile.type = "button";
    tile.tabIndex = -1;
    Object.assign(tile, { field, object, number });
    tile.append(element("span", "", "picture"), element("span", percent(object.probability)), element("span", "", "judgement"));
    tile.addEventListener("click", () => view(field, object));
    tile.addEventListener("focus", () => setTabStop(tile.parentElement, tile));
    tiles.set(object, tile);
  }
  updateTile(tile);
  return tile;
}

function updateTile(tile) {
  const { field, object, number } = tile;
  const picture = cellPicture(object);
  if (picture !== null && picture.parentElement === null) tile.querySelector(".picture").replaceChildren(picture);
  // Cells that are not shown cannot be judged.
  tile.disabled = !photographs.get(field)?.url;
  const judgement = object.judgement ?? "none";
  tile.dataset.judgement = judgement;
  const probability = percent(object.probability);
  tile.children[1].textContent = probability;
  tile.querySelector(".judgement").textContent = text(`judge.${judgement}`);
  const words = filled("gallery.cell", { number, image: field.count.image, probability });
  tile.setAttribute("aria-label", `${words}. ${text(`judge.${judgement}`)}`);
}

export function updateTiles(field) {
  for (const tile of document.querySelectorAll(".cell")) if (field === null || tile.field === field) updateTile(tile);
}

// For a person who works with the keyboard in the gallery: leads to the tile of a cell.
export function focusTile(field, object) {
  if (document.activeElement?.matches(".cell")) tiles.get(object)?.focus();
}

// For the arrow keys: the tile to the left or right, above or below that can be used.
function neighbour(tile, key) {
  const all = [...tile.parentElement.children];
  const perRow = all.filter((other) => other.offsetTop === all[0].offsetTop).length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -perRow, ArrowDown: perRow }[key];
  let place = all.indexOf(tile) + step;
  while (all[place]?.disabled) place += step;
  return all[place] ?? null;
}

export const galleryKey = reportingErrors(async (event) => {
  const tile = event.target.closest?.(".cell");
  if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (event.key.startsWith("Arrow")) {
    event.preventDefault();
    neighbour(tile, event.key)?.focus();
  } else if (key in JUDGEMENTS) {
    event.preventDefault();
    neighbour(tile, "ArrowRight")?.focus();
    await judge(tile.field, tile.object, JUDGEMENTS[key]);
  }
});
