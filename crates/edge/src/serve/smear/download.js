// Files that the browser saves.

import { element } from "./elements.js";

export function save(blob, name) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function csvText(columns, rows) {
  const field = (value) => {
    const words = String(value ?? "");
    return /[",\r\n]/.test(words) ? `"${words.replaceAll('"', '""')}"` : words;
  };
  return [columns, ...rows.map((row) => columns.map((column) => row[column]))].map((row) => `${row.map(field).join(",")}\n`).join("");
}
