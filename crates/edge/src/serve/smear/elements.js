// Helpers for elements of the page.

import { LANGUAGES, reasonOf } from "./texts.js";

export const at = (id) => document.getElementById(id);

export function element(name, words, className) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  if (className) made.className = className;
  return made;
}

export function button(words, action) {
  const made = element("button", words);
  made.type = "button";
  made.addEventListener("click", reportingErrors(action));
  return made;
}

// Also shown in the viewer, which covers the page.
export function showStatus(words, failed = false) {
  for (const place of document.querySelectorAll("#status, #viewer-status")) {
    place.textContent = words;
    place.classList.toggle("failed", failed);
  }
}

// An action that reports its failure to the person.
export function reportingErrors(action) {
  return async (...given) => {
    try {
      return await action(...given);
    } catch (error) {
      showStatus(reasonOf(error), true);
    }
  };
}

// Fills the choice of the language.
export function listLanguages() {
  const options = LANGUAGES.map((language) => {
    const option = element("option", new Intl.DisplayNames([language], { type: "language" }).of(language));
    option.value = language;
    return option;
  });
  at("language").append(...options);
}
