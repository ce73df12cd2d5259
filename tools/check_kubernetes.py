"""Validates docs/cluster/folds.yaml against the schema of Kubernetes 1.37, strictly: unknown fields are faults.

    pip install kubernetes-validate==1.37.0
    python tools/check_kubernetes.py

It also checks that the Job has a pod for each fold, and that a misspelt field would be noticed. Nothing is run on a cluster. Exits
with 1 if the manifest is not valid.
"""

import re
import sys
from pathlib import Path

import kubernetes_validate
import yaml

MANIFEST = Path(__file__).resolve().parent.parent / "docs/cluster/folds.yaml"
VERSION = "1.37"


def fault(job: dict) -> str | None:
    """The first difference from the schema."""
    try:
        kubernetes_validate.validate(job, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return None


if __name__ == "__main__":
    text = MANIFEST.read_text()
    job = yaml.safe_load(text)
    if found := fault(job):
        sys.exit(f"{MANIFEST}: {found}")
    folds = {int(count) for count in re.findall(r"--folds (\d+)", text)}
    if folds != {job["spec"]["completions"]} or job["spec"]["completionMode"] != "Indexed":
        sys.exit(f"{MANIFEST}: {job['spec']['completions']} pods for {folds} folds")
    if not fault(job | {"spec": job["spec"] | {"completion": 5}}):
        sys.exit("a misspelt field is not noticed")
    print(f"valid for Kubernetes {VERSION}")
