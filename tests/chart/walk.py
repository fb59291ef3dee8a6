"""The README's walk from sample events ends in a chart: Helm makes of it what is shown there."""
import os
import pathlib
import re
import subprocess
import tempfile

from helm import ROOT
from report import tell

CHAPTER = "\n## From sample events to a chart\n"


def check():
    chapter = (ROOT / "README.md").read_text().split(CHAPTER)[1].split("\n## ")[0]
    helm = pathlib.Path(os.environ["HELM"]).resolve().parent
    around = {**os.environ, "NEARCOPY": str(ROOT), "PATH": f"{helm}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        # What was drafted and tested before is played by tests/cli; any manifest will do.
        pathlib.Path(folder, "nearcopy.yaml").write_text((ROOT / "config/examples/products.yaml").read_text())
        wrong, played = [], 0
        for typed, shown in steps(chapter):
            done = subprocess.run(["sh", "-euc", typed], text=True, capture_output=True, cwd=folder, env=around)
            played += 1
            if done.returncode or (shown is not None and done.stdout != shown):
                wrong += [f"$ {typed.strip()}", done.stderr, done.stdout]
    tell("walk", f"the README's chart: {played} steps", wrong if played == 3 else [f"{played} steps are found, not 3"])


def steps(chapter):
    """What is typed for the chart, and what is shown of what that says."""
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", chapter, re.M | re.S):
        if language == "sh" and "chart/" in text:
            yield text, None
        if language == "console" and text.startswith("$ helm"):
            for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
                typed, _, shown = step.partition("\n")
                yield typed, shown
