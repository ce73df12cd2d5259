// Photographs as pictures that the browser can show, and cells cut out of them.

import { photographs } from "./reading.js";
import { ask, form } from "./server.js";

// Sides of a cell in the gallery and of a photograph in the list, in device pixels at two per CSS pixel.
const CROP = 176;
const THUMBNAIL = [192, 144];
// Longest side of a photograph in a report, in pixels, and the number of photographs above which it is reduced.
const REPORT_SIDE = 1600;
const MANY_FIELDS = 40;

// Canvases of objects, and of fields.
const cells = new WeakMap();
const thumbnails = new WeakMap();

// Gives a field its photograph.
export async function attach(field, file) {
  let picture = file;
  // Browsers do not show TIFF files and do not turn all other formats as their EXIF data says.
  let bitmap = /\.(png|jpe?g)$/i.test(file.name) ? await createImageBitmap(file).catch(() => null) : null;
  const asRead = bitmap !== null && bitmap.width === field.width && bitmap.height === field.height;
  if (!asRead) {
    bitmap?.close();
    picture = await ask("/picture", form([file.name || "photograph", file]), "image/jpeg");
    bitmap = await createImageBitmap(picture);
  }
  detach(field);
  photographs.set(field, { file, picture, url: bitmap === null ? null : URL.createObjectURL(picture) });
  if (bitmap === null) return;
  thumbnails.set(field, canvas(bitmap, THUMBNAIL, 0, 0, bitmap.width, bitmap.height));
  bitmap.close();
}

export function detach(field) {
  const url = photographs.get(field)?.url;
  if (url) URL.revokeObjectURL(url);
  photographs.delete(field);
}

function canvas(bitmap, [width, height], x, y, across, down) {
  const made = document.createElement("canvas");
  [made.width, made.height] = [width, height];
  // WebKit does not show a canvas in graphics memory again after it was taken out of the page.
  const context = made.getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, width, height);
  const scale = Math.min(width / across, height / down);
  // The part inside the bitmap: WebKit draws nothing if some of it is outside.
  const [left, top] = [Math.max(x, 0), Math.max(y, 0)];
  const [w, h] = [Math.min(x + across, bitmap.width) - left, Math.min(y + down, bitmap.height) - top];
  const place = [(width - scale * across) / 2 + scale * (left - x), (height - scale * down) / 2 + scale * (top - y)];
  context.drawImage(bitmap, left, top, w, h, ...place, scale * w, scale * h);
  return made;
}

export const thumbnailOf = (field) => thumbnails.get(field) ?? null;
export const cellPicture = (object) => cells.get(object) ?? null;

// Cuts out the objects that have no picture yet, with their surroundings, which help people to judge.
export async function cutOut(field, objects) {
  const missing = objects.filter((object) => !cells.has(object));
  const at = photographs.get(field);
  if (missing.length === 0 || !at?.url) return;
  const bitmap = await createImageBitmap(at.picture);
  for (const object of missing) {
    const { x, y, width, height } = object;
    const side = 1.4 * Math.max(width, height);
    cells.set(object, canvas(bitmap, [CROP, CROP], x + (width - side) / 2, y + (height - side) / 2, side, side));
  }
  bitmap.close();
}

// A JPEG for a report of this many fields. The colours are those of the file, as the program reads them.
export async function reportPicture(field, fields) {
  const bitmap = await createImageBitmap(photographs.get(field).picture, { colorSpaceConversion: "none" });
  const side = REPORT_SIDE * Math.sqrt(MANY_FIELDS / Math.max(MANY_FIELDS, fields));
  const factor = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const size = [bitmap.width, bitmap.height].map((length) => Math.max(1, Math.round(factor * length)));
  const made = canvas(bitmap, size, 0, 0, bitmap.width, bitmap.height);
  bitmap.close();
  return new Promise((done) => made.toBlob(done, "image/jpeg", 0.85));
}
