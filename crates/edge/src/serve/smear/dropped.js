// Files that are dropped on a page, alone or in folders.

const PICTURE = /\.(png|jpe?g|jfif|jpe|bmp|tiff?|webp)$/i;
// Hidden files, and the folder that macOS adds to zip files.
const HIDDEN = /^(\.|__MACOSX$)/;

export const isPicture = (file) => PICTURE.test(file.name) && !HIDDEN.test(file.name);

// All dropped files and the files in dropped folders, except in hidden folders, with their paths, sorted by path.
export async function dropped({ items }) {
  const entries = [...items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry()).filter((entry) => entry);
  const files = [];
  while (entries.length > 0) {
    const entry = entries.shift();
    if (entry.isFile) {
      const file = await new Promise((found, failed) => entry.file(found, failed));
      files.push({ file, path: entry.fullPath.slice(1) });
    } else {
      const reader = entry.createReader();
      // A folder is read in portions until an empty one.
      for (let portion = null; portion === null || portion.length > 0; ) {
        portion = await new Promise((found, failed) => reader.readEntries(found, failed));
        entries.push(...portion.filter((inner) => inner.isFile || !HIDDEN.test(inner.name)));
      }
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}
