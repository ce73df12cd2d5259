"""mdBook's preprocessor for the chapters: links to files outside docs, such as ../results/edge.json, go to the repository on the web,
because the book has no such files. `tools/check_docs.py` checks that the files exist.

    mdbook build docs        # runs it, as docs/book.toml says
"""

import json
import re
import sys

BRANCH = "main"


def with_links(item: dict, repository: str) -> None:
    chapter = item.get("Chapter") if isinstance(item, dict) else None
    if chapter:
        chapter["content"] = re.sub(r"(\]\()\.\./", rf"\1{repository}/blob/{BRANCH}/", chapter["content"])
        for below in chapter["sub_items"]:
            with_links(below, repository)


if __name__ == "__main__":
    if sys.argv[1:2] != ["supports"]:
        context, book = json.load(sys.stdin)
        for item in book["items"]:
            with_links(item, context["config"]["output"]["html"]["git-repository-url"])
        json.dump(book, sys.stdout)
