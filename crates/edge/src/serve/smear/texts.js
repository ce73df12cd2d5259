// The texts of the page in the person's language, and the formats of its numbers.

import { ask } from "./server.js";

export const LANGUAGES = ["en", "es", "fr", "pt"];

let texts = {};
let numbers = new Intl.NumberFormat("en");

export async function loadTexts(language) {
  texts = await ask(`/phrases/${language}`);
  numbers = new Intl.NumberFormat(language);
  document.documentElement.lang = language;
  document.title = text("app.title");
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
  if (share >= 0.99995 && share < 1) return `> ${number(99.99)}`;
  if (share > 0 && share < 0.00005) return `< ${number(0.01)}`;
  return number(100 * share);
}

const between = ({ low, high }, write) => filled("interval", { low: write(low), high: write(high) });

export function shareWords(share, interval) {
  return share === null ? between(interval, percent) : `${percent(share)} (${between(interval, percent)})`;
}

export function perMicrolitreWords({ estimate, low, high }) {
  return `${whole(estimate)} (${between({ low, high }, whole)})`;
}
