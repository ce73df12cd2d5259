// The texts of the page in the person's language, and the formats of its numbers.

import { ask } from "./server.js";

export const LANGUAGES = ["en", "es", "fr", "pt"];

// The language in the address, as in the link to the page for single cells, or else the browser's.
export function preferredLanguage() {
  const wanted = [new URLSearchParams(location.search).get("language"), ...navigator.languages.map((language) => language.slice(0, 2))];
  return wanted.find((language) => LANGUAGES.includes(language)) ?? "en";
}

let texts = {};
let numbers = new Intl.NumberFormat("en");

export async function loadTexts(language) {
  texts = await ask(`/phrases/${language}`);
  numbers = new Intl.NumberFormat(language);
  document.documentElement.lang = language;
  const each = (attribute, apply) =>
    document.querySelectorAll(`[${attribute}]`).forEach((element) => apply(element, text(element.getAttribute(attribute))));
  each("data-text", (element, words) => (element.textContent = words));
  each("data-label", (element, words) => element.setAttribute("aria-label", words));
  each("data-hint", (element, words) => (element.placeholder = words));
}

export function text(key) {
  return texts[key] ?? key;
}

export const filled = (key, values) => text(key).replace(/\{([a-z-]+)\}/g, (_, name) => values[name]);
export const label = (name, value) => filled("label", { name, value });
export const whole = (number) => numbers.format(Math.round(number));

// Values below 1 are not rounded to 100 %, values above 0 not to 0 %. The space is non-breaking.
export function percent(share) {
  const number = (value) => `${value.toFixed(2).replace(".", text("decimal"))}\u00a0%`;
  if (share >= 0.99995 && share < 1) return `>\u00a0${number(99.99)}`;
  if (share > 0 && share < 0.00005) return `<\u00a0${number(0.01)}`;
  return number(100 * share);
}

const between = ({ low, high }, write) => filled("interval", { low: write(low), high: write(high) });

export function shareWords(share, interval) {
  return share === null ? between(interval, percent) : `${percent(share)} (${between(interval, percent)})`;
}

export function perMicrolitreWords({ estimate, low, high }) {
  return `${whole(estimate)} (${between({ low, high }, whole)})`;
}

// A patient's call; `verdict` is null if the model calls no patients.
export function callWords(verdict, cells) {
  if (verdict === null) return text("call.no-rule");
  const limit = "detection_limit" in verdict ? percent(verdict.detection_limit) : "";
  return filled(`call.${verdict.call}`, { limit, cells: whole(cells), more: whole(verdict.more_cells ?? 0) });
}

// Why the call is unreliable.
export function callNotes(verdict) {
  return [verdict?.unfamiliar && text("call.unfamiliar"), verdict?.seen_in_training && text("call.seen-in-training")].filter(Boolean);
}

// The reason of a failure. The page's own errors are in the person's language; those of the browser may be in another.
export function reasonOf(error) {
  return error.constructor === Error ? error.message : filled("status.browser", { reason: error.message });
}
