// Files to download: the report, the record, the cells, the photographs.

import { csvText, save } from "./download.js";
import { reportPicture } from "./pictures.js";
import { photographs, record, state } from "./reading.js";
import { ask, form } from "./server.js";

// The columns of cells.csv, and the judgement.
const COLUMNS = ["image", "number", "x", "y", "w", "h", "probability", "called", "patient", "touches_border", "warning", "excluded", "judgement"];

// The name of a file, which contains the slide or the patient without characters that file names cannot have.
function named(kind, ending) {
  const { slide, patient } = state.details;
  const of = (slide.trim() || patient.trim()).replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60);
  return ["smear", kind, of].filter(Boolean).join("-") + ending;
}

export async function saveReport() {
  const parts = [["reading", new Blob([JSON.stringify(record())], { type: "application/json" })]];
  for (const [i, field] of state.fields.entries()) {
    if (photographs.get(field)?.url) parts.push([String(i), await reportPicture(field, state.fields.length)]);
  }
  save(await ask("/report", form(...parts), "text/html"), named("report", ".html"));
}

export function saveRecordFile() {
  save(new Blob([JSON.stringify(record())], { type: "application/json" }), named("reading", ".json"));
}

export function saveCsv() {
  save(new Blob([csv()], { type: "text/csv" }), named("cells", ".csv"));
}

function csv() {
  const { positive, classes } = state.model.description;
  const negative = classes.find((name) => name !== positive);
  const rows = state.fields.flatMap(({ count: { image }, objects, added }) => {
    const common = { image, patient: state.details.patient };
    let number = 0;
    return [
      ...objects.map(({ kind, x, y, width: w, height: h, probability, infected, warned, touches_border, judgement }) => {
        const red = kind === "red-cell";
        return {
          ...common, x, y, w, h, probability, touches_border, judgement,
          number: red ? (number += 1) : null,
          called: red ? (infected ? positive : negative) : null,
          warning: warned || null,
          excluded: red ? null : kind,
        };
      }),
      ...added.map(({ x, y, infected }) => ({ ...common, x, y, judgement: infected ? "infected" : "uninfected" })),
    ];
  });
  return csvText(COLUMNS, rows);
}

// One after the other, since browsers drop simultaneous downloads.
export async function savePhotographs() {
  for (const field of state.fields) {
    const file = photographs.get(field)?.file;
    if (!file) continue;
    save(file, field.count.image);
    await new Promise((done) => setTimeout(done, 500));
  }
}
