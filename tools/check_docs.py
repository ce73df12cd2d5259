"""Checks the README and the chapters of docs: files and anchors that links name, lengths of lines, and that the book has every chapter.

    python3 tools/check_docs.py

Links to the web are not followed. Prints each fault, and exits with 1 if there is one.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README_LINES, README_WIDTH, CHAPTER_WIDTH = 150, 120, 140


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    titles = (title.strip().lower() for title in re.findall(r"^#+ (.*)", text, re.M))
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


def faults() -> list[str]:
    found = []
    chapters = sorted(path for path in (ROOT / "docs").glob("*.md"))
    documents = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "data/README.md")]
    for path in [*documents, *chapters]:
        name = path.relative_to(ROOT)
        text = without_code(path.read_text())
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if re.match(r"[a-z]+:", link):
                continue
            if not target.is_relative_to(ROOT) or not target.exists():
                found.append(f"{name}: {link}: no such file")
            elif anchor and anchor not in anchors(target):
                found.append(f"{name}: {link}: no such heading")
        # A tag, for mdBook; addresses in angle brackets are links.
        found += [f"{name}: {tag}: put it into backticks" for tag in re.findall(r"</?[a-zA-Z][^>:]*>", text)]

    lines = (ROOT / "README.md").read_text().splitlines()
    if len(lines) > README_LINES:
        found.append(f"README.md has {len(lines)} lines, more than {README_LINES}")
    found += [f"README.md:{n}: longer than {README_WIDTH}" for n, line in enumerate(lines, 1) if len(line) > README_WIDTH]
    for path in chapters:
        for n, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > CHAPTER_WIDTH and not line.startswith("|"):
                found.append(f"docs/{path.name}:{n}: longer than {CHAPTER_WIDTH}")

    listed = re.findall(r"\]\(([^)]+)\)", (ROOT / "docs/SUMMARY.md").read_text())
    found += [f"docs/SUMMARY.md does not list {path.name}" for path in chapters if path.name not in [*listed, "SUMMARY.md"]]
    return found


if __name__ == "__main__":
    faulty = faults()
    print("\n".join(faulty) or "links, anchors and lengths are right")
    sys.exit(bool(faulty))
