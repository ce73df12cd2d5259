"""Writes the licences of the crates that are linked into `malaria-edge` for a target, which its binaries must contain.

    python3 tools/third_party_licences.py x86_64-unknown-linux-musl > THIRD-PARTY-LICENCES.txt

Copies the licence files of each crate, each text once; for a crate without one, the licence's name and the repository. The licences
of Rust's standard library come last, if the toolchain has them. `CARGO_NET_OFFLINE=true` keeps cargo from fetching anything.
"""

import json
import subprocess
import sys
from pathlib import Path

LICENCE_FILES = ("licen", "copying", "copyright", "notice", "unlicense")


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def main(target: str) -> None:
    # Without feature unification over the workspace, unlike the graph in `cargo metadata`.
    tree = output("cargo", "tree", "--locked", "-p", "malaria-edge", "-e", "normal,no-proc-macro", "--target", target,
                  "--prefix", "none", "-f", "{p}")
    linked = {tuple(line.replace(" v", " ").split(" ")[:2]) for line in tree.splitlines()}
    packages = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))["packages"]
    # Crates of the workspace have no source.
    crates = [one for one in packages if one["source"] and (one["name"], one["version"]) in linked]
    print(f"malaria-edge for {target} contains these {len(crates)} crates, under the licences below, and Rust's standard library.")
    first: dict[str, str] = {}
    for crate in sorted(crates, key=lambda one: (one["name"], one["version"])):
        folder = Path(crate["manifest_path"]).parent
        print(f"\n{'=' * 80}\n{crate['name']} {crate['version']}: {crate['license'] or crate['license_file']}")
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().startswith(LICENCE_FILES))
        for path in files:
            text, name = path.read_text(encoding="utf-8", errors="replace").strip(), f"{path.name} of {crate['name']} {crate['version']}"
            same = first.setdefault(text, name)
            print(f"\n--- {path.name}\n\n{text}" if same == name else f"\n--- {path.name}: the text of {same}")
        if not files:
            authors = "; ".join(crate["authors"]) or "not named in its manifest"
            print(f"\nNo licence file. Authors: {authors}. Source: {crate['repository'] or crate['homepage']}")
    standard = Path(output("rustc", "--print", "sysroot").strip()) / "share/doc/rust/COPYRIGHT-library.html"
    if standard.exists():
        print(f"\n{'=' * 80}\nRust's standard library (HTML)\n\n{standard.read_text(encoding='utf-8').strip()}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.reconfigure(encoding="utf-8")
    main(sys.argv[1])
