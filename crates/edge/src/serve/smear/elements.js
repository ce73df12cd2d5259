// Helpers for elements of the page.

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
  for (const place of [at("status"), at("viewer-status")]) {
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
      showStatus(error.message, true);
    }
  };
}
