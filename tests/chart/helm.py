"""Helm, asked for one thing at a time."""
import os
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/chart"
CHARTS = {
    "nearcopy-lib": ROOT / "helm/nearcopy-lib",
    "nearcopy": ROOT / "helm/nearcopy",
    "product-service": ROOT / "helm/examples/product-service",
}
RELEASE = "shop"
# Of each: the oldest that the chart is for, the first and the last that knows native sidecars as they are, and the newest.
VERSIONS = ["1.25", "1.28", "1.29", "1.33", "1.37"]


def run(*arguments, program="HELM", given=None):
    done = subprocess.run([os.environ[program], *map(str, arguments)], input=given, text=True, capture_output=True, cwd=ROOT)
    # It says of each symbolic link that it follows it.
    talk = "\n".join(line for line in done.stderr.splitlines() if "found symbolic link" not in line)
    return done.returncode, done.stdout, talk


def template(chart, *values, version="1.33", program="HELM"):
    """What a chart becomes, or why it does not."""
    files = [argument for file in values for argument in ("-f", file)]
    return run("template", RELEASE, CHARTS[chart], "--namespace", "shop", "--kube-version", version, *files, program=program)


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def cases():
    """Each chart with each of its values, and the versions of Kubernetes that they are for."""
    for chart in ("nearcopy", "product-service"):
        for file in sorted((HERE / "values" / chart).glob("*.yaml")):
            first = re.search(r"^# From Kubernetes ([0-9.]*[0-9])", file.read_text(), re.M)
            since = VERSIONS.index(first[1]) if first else 0
            yield chart, file, VERSIONS[since:]
