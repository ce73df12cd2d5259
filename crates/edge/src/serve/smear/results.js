// The counts, which the program computes from the record.

import { at, showStatus } from "./elements.js";
import { recordWithoutOutlines, state } from "./reading.js";
import { ask } from "./server.js";
import { saved } from "./store.js";
import { callNotes, callWords, filled, perMicrolitreWords, reasonOf, shareWords, text, whole } from "./texts.js";

// Milliseconds without another change after which the counts are requested.
const PAUSE = 150;

let timer = null;
let request = null;

// Updates the counts soon. Until then, and until the changes are saved, those shown are marked as busy.
export function updateResults() {
  at("reading").hidden = state.fields.length === 0;
  at("reading").setAttribute("aria-busy", "true");
  clearTimeout(timer);
  request?.abort();
  timer = setTimeout(count, PAUSE);
}

async function count() {
  const own = (request = new AbortController());
  try {
    if (state.fields.length > 0) {
      show(
        await ask("/summary", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(recordWithoutOutlines()),
          signal: own.signal,
        }),
      );
    }
  } catch (error) {
    if (own.signal.aborted) return;
    // Shows no counts rather than outdated ones.
    show({ machine: null, repeated: [], suspects: 0, reviewed: 0, corrected: null });
    showStatus(reasonOf(error), true);
  }
  await saved();
  if (!own.signal.aborted) at("reading").setAttribute("aria-busy", "false");
}

function show({ machine, repeated, suspects, reviewed, corrected }) {
  const verdict = machine?.verdict ?? null;
  fill("call", machine && machine.red_cells > 0 ? callWords(verdict, machine.red_cells) : text("result.none"));
  fill("red-cells", whole(machine?.red_cells ?? 0));
  fill("infected", whole(machine?.infected ?? 0));
  fill("share", verdict ? shareWords(verdict.infected_share, verdict.interval) : "–");
  fillPerMicrolitre("per-microlitre", machine?.infected_per_microlitre);
  const name = (place) => state.fields[place].count.image;
  const repeats = repeated.map(([first, later]) => filled("result.repeated", { name: name(later), first: name(first) }));
  const warnings = [...callNotes(verdict), ...repeats];
  at("unfamiliar").hidden = warnings.length === 0;
  fill("unfamiliar", warnings.join(" "));
  fill("review-progress", suspects === 0 ? text("result.no-suspects") : filled("result.progress", { reviewed, suspects }));
  at("looked-through").parentElement.hidden = suspects > 0;
  at("looked-through").checked = state.details.looked_through;
  at("reviewed").hidden = suspects === 0;
  at("reviewed").max = Math.max(suspects, 1);
  at("reviewed").value = reviewed;
  at("corrected").hidden = corrected === null;
  fill("review-note", text(corrected === null ? "result.pending" : "result.interval-note"));
  if (corrected === null) return;
  fill("corrected-red-cells", whole(corrected.red_cells));
  fill("corrected-infected", whole(corrected.infected));
  fill("corrected-share", shareWords(corrected.infected_share, corrected.interval));
  fillPerMicrolitre("corrected-per-microlitre", corrected.infected_per_microlitre);
}

function fill(id, words) {
  at(id).textContent = words;
}

function fillPerMicrolitre(id, found) {
  at(id).parentElement.hidden = !found;
  fill(id, found ? perMicrolitreWords(found) : "");
}
