"""Cuts DejaVu Sans 2.37 down to the Latin, Greek and Cyrillic letters and the signs of plots.

    pip install -r requirements.txt
    python subset.py FOLDER_WITH_DEJAVU_TTF_FILES

The fonts are those of https://github.com/dejavu-fonts/dejavu-fonts/releases/tag/version_2_37; their licence is in
LICENSE-DejaVu.txt. Writes the same bytes beside this file every time.
"""

import sys
from pathlib import Path

from fontTools import subset

HERE = Path(__file__).parent
CHARACTERS = (
    "U+0020-007E,U+00A0-017F,"  # Latin
    "U+0370-03FF,U+0400-045F,"  # Greek, Cyrillic
    "U+2010-2015,U+2018-201E,U+2020-2022,U+2026,U+2030,U+2032-2033,U+20AC,"  # punctuation
    "U+2190-2193,U+2212,U+221E,U+2248,U+2260,U+2264,U+2265"  # arrows and mathematical signs
)

for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"):
    subset.main(
        [
            str(Path(sys.argv[1]) / name),
            f"--output-file={HERE / name}",
            f"--unicodes={CHARACTERS}",
            "--no-hinting",
            "--layout-features=",
            "--legacy-kern",
            "--name-IDs=*",
            "--drop-tables+=FFTM,GDEF,GPOS,GSUB",
            "--no-recalc-timestamp",
        ]
    )
