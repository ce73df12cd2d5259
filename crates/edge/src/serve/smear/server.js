// Requests to the program that serves the page.

import { filled, text } from "./texts.js";

// Number of retries when the program is busy, and the milliseconds before each.
const RETRIES = 20;
const PAUSE = 3000;

// The answer, a document or a file of the expected type.
export async function ask(path, options, type = "application/json") {
  let response;
  for (let tries = 0; ; tries += 1) {
    try {
      response = await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error(text("status.stopped"));
    }
    if (response.status !== 503 || tries === RETRIES) break;
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  const found = response.headers.get("Content-Type") ?? "";
  if (!response.ok && found.startsWith("application/json")) {
    const { error, key, values } = await response.json();
    // In English if the texts have not been loaded.
    throw new Error(text(key) === key ? error : filled(key, values));
  }
  if (!response.ok || !found.startsWith(type)) throw new Error(text("status.unexpected"));
  return type === "application/json" ? response.json() : response.blob();
}

export function form(...parts) {
  const data = new FormData();
  for (const [name, part] of parts) data.append("picture", part, name);
  return { method: "POST", body: data };
}
