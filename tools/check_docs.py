"""Checks the READMEs and the chapters of docs: targets of links, lengths of lines, whether the book lists every chapter, whether each
block of commands says if a test runs it, and whether the examples in the READMEs come from the documentation of the crates, whose
examples are tested.

    python3 tools/check_docs.py

Links to the web are not followed. Prints each fault, and exits with 1 if there is one.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README_LINES, WIDTH = 150, 120
CRATE_README_LINES, CONTRIBUTING_LINES = range(15, 41), 115


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    titles = (title.strip().lower() for title in re.findall(r"^#+ (.*)", text, re.M))
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


def untested(readme: Path) -> list[str]:
    """The example lines of a crate's README that are not in the documentation of its lib.rs in the same order."""
    library = readme.with_name("src") / "lib.rs"
    text = library.read_text() if library.exists() else ""
    documented = iter([re.sub(r"^//! ?(# )?", "", line).strip() for line in text.splitlines() if line.startswith("//!")])
    blocks = re.findall(r"^```rust\n(.*?)^```", readme.read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip() and line.strip() not in documented]


def examples(text: str) -> list[str]:
    """The examples in the documentation of a library, without hidden lines."""
    lines = [line.removeprefix("//!").removeprefix(" ") for line in text.splitlines() if line.startswith("//!")]
    shown = "\n".join(line for line in lines if not line.startswith("# "))
    return re.findall(r"^```\S*\n(.*?)^```", shown, re.M | re.S)


def unmarked(text: str) -> list[str]:
    """The first lines of the blocks of commands without a mark that says whether a test runs them."""
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith("```")][::2]
    blocks = [n for n in starts if lines[n] not in ("```rust", "```toml")]
    # The test finds blocks by these lines: crates/cli/tests/it/slow/commands.rs.
    marked = re.compile(r"(<!-- run -->\n```|<!-- not run: .+ -->\n```.*)")
    return [lines[n + 1] for n in blocks if not marked.fullmatch("\n".join(lines[max(n - 1, 0) : n + 1]))]


def faults() -> list[str]:
    found = []
    chapters = sorted(path for path in (ROOT / "docs").glob("*.md"))
    names = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md")
    documents = [ROOT / name for name in names]
    readmes = sorted(ROOT.glob("crates/*/README.md"))
    for path in [*documents, *readmes, *chapters]:
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
        # mdBook would read it as a tag; addresses in angle brackets are links.
        found += [f"{name}: {tag}: put it into backticks" for tag in re.findall(r"</?[a-zA-Z][^>:]*>", text)]

    for path in [ROOT / "README.md", *chapters]:
        why = "put `<!-- run -->` or `<!-- not run: why -->` above it"
        found += [f"{path.relative_to(ROOT)}: `{line}`: {why}" for line in unmarked(path.read_text())]

    lines = (ROOT / "README.md").read_text().splitlines()
    if len(lines) > README_LINES:
        found.append(f"README.md has {len(lines)} lines, more than {README_LINES}")
    for path in [*documents, *readmes, *chapters]:
        for n, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > WIDTH and (path.name == "README.md" or not line.startswith("|")):
                found.append(f"{path.relative_to(ROOT)}:{n}: longer than {WIDTH}")
    lines = len((ROOT / "CONTRIBUTING.md").read_text().splitlines())
    if lines > CONTRIBUTING_LINES:
        found.append(f"CONTRIBUTING.md has {lines} lines, more than {CONTRIBUTING_LINES}")
    for path in readmes:
        name, lines = path.relative_to(ROOT), len(path.read_text().splitlines())
        if lines not in CRATE_README_LINES:
            found.append(f"{name} has {lines} lines, not {CRATE_README_LINES.start} to {CRATE_README_LINES.stop - 1}")
        # crates.io shows the README without the files beside it.
        relative = [link for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()) if not link.startswith("https://")]
        found += [f"{name}: {link}: give the whole address" for link in relative]
        found += [f"{name}: `{line}` is not in the documentation of src/lib.rs" for line in untested(path)]

    tested = examples((ROOT / "crates/malaria-resnet/src/lib.rs").read_text())
    for block in re.findall(r"^```rust\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S):
        if block not in tested:
            found.append(f"README.md: the example is not one of crates/malaria-resnet/src/lib.rs:\n{block}")

    listed = re.findall(r"\]\(([^)]+)\)", (ROOT / "docs/SUMMARY.md").read_text())
    found += [f"docs/SUMMARY.md does not list {path.name}" for path in chapters if path.name not in [*listed, "SUMMARY.md"]]
    return found


if __name__ == "__main__":
    faulty = faults()
    print("\n".join(faulty) or "links, anchors and lengths are right")
    sys.exit(bool(faulty))
