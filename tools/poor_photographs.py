"""Measures the effect of poor photographs on counting: cells called infected, and the program's caveats.

    pip install pillow==13.0.0
    python tools/poor_photographs.py PHOTOGRAPHS malaria-edge --json results/poor-photographs.json

PHOTOGRAPHS is a folder such as `tools/compose_smears.py` makes; the results in the repository are those of
`compose_smears.py cell_images OUT --fields 8 --cells 110 --parasitaemia 0.1 --seed 3`.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

CHANGES = {
    "none": lambda photo: photo,
    "blur of 2 px": lambda photo: photo.filter(ImageFilter.GaussianBlur(2)),
    "blur of 3 px": lambda photo: photo.filter(ImageFilter.GaussianBlur(3)),
    "blur of 4 px": lambda photo: photo.filter(ImageFilter.GaussianBlur(4)),
    "saturation 0.6": lambda photo: ImageEnhance.Color(photo).enhance(0.6),
    "saturation 0.3": lambda photo: ImageEnhance.Color(photo).enhance(0.3),
    "grey": lambda photo: photo.convert("L").convert("RGB"),
    "contrast 0.5": lambda photo: ImageEnhance.Contrast(photo).enhance(0.5),
    "brightness 0.6": lambda photo: ImageEnhance.Brightness(photo).enhance(0.6),
    "480 x 360 px, JPEG quality 30": lambda photo: photo.resize((480, 360)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("program")
    parser.add_argument("--json", required=True)
    arguments = parser.parse_args()
    rows = []
    for change, apply in CHANGES.items():
        with tempfile.TemporaryDirectory() as folder:
            for path in sorted(arguments.photographs.glob("*.jpg")):
                quality = 30 if "quality 30" in change else 95
                apply(Image.open(path)).save(Path(folder) / path.name, quality=quality)
            said = subprocess.run([arguments.program, "smear", folder, "--json"], capture_output=True, check=True)
        document = json.loads(said.stdout)
        (patient,) = document["patients"]
        verdict = patient["verdict"]
        sharpness = sorted(photo["quality"]["sharpness"] for photo in document["photographs"])
        rows.append(
            {
                "change": change,
                "red_cells": patient["red_cells"],
                "infected": patient["infected"],
                "call": verdict["call"],
                "uncertain_share": verdict["uncertain_share"],
                "unlike_share": verdict["unlike_share"],
                "median_sharpness": sharpness[len(sharpness) // 2],
                "caveats": sorted({caveat for photo in document["photographs"] for caveat in photo["caveats"]}),
                "words": verdict["words"],
            }
        )
        print(f"{change:<30} {patient['red_cells']:>5} {patient['infected']:>4}  {verdict['words']}")
    result = {"command": f"python tools/poor_photographs.py composed/images malaria-edge --json {arguments.json}", "photographs": rows}
    Path(arguments.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
