"""The charts: linted, rendered, compared with what was seen before, and looked at by everybody who knows better."""
import os
import pathlib
import re
import subprocess
import tempfile

import kubernetes_validate
import yaml

import rules
import tables
from helm import CHARTS, HERE, ROOT, cases, documents, run, template
from report import stale, tell

# What checkov asks for, and is not done, with why.
PASSED_BY = {
    "CKV_K8S_11": "no limit of CPU: one makes everything late, and protects nobody",
    "CKV_K8S_15": "pulled where it is not there; who names a digest need not pull always",
    "CKV_K8S_21": "the namespace is the release's",
    "CKV_K8S_43": "a digest is a value: `image.digest`",
    "CKV2_K8S_6": "a NetworkPolicy is a value: `networkPolicy.enabled`",
    "CKV_K8S_35": "its own secrets are files; what `extraEnv` brings is the team's",
    "CKV_K8S_8": "what ends by itself needs no probes",
    "CKV_K8S_9": "the same; and readiness can be left to the service",
    "CKV_DOCKER_2": "Kubernetes probes; and nothing in the image could ask",
}


def check():
    lint()
    rendered = [(chart, file, versions, render(chart, file, versions)) for chart, file, versions in cases()]
    for chart, file, versions, text in rendered:
        name = f"{chart} with {file.name}"
        valid(name, documents(text), versions)
        for rule in rules.ALL:
            tell("rule", f"{name}: {rule.__doc__}", rule(documents(text), yaml.safe_load(file.read_text()) or {}))
    follows()
    notes()
    policy(rendered)
    alerts(next(text for chart, file, _, text in rendered if file.name == "all.yaml"))
    tables.check()


def lint():
    code, out, talk = run("lint", "--strict", CHARTS["nearcopy-lib"])
    tell("lint", "nearcopy-lib", [out, talk] if code else [])
    for chart, file, _ in cases():
        code, out, talk = run("lint", "--strict", CHARTS[chart], "-f", file)
        tell("lint", f"{chart} with {file.name}", [out, talk] if code else [])


def render(chart, file, versions):
    """The same for all versions of Kubernetes, and for Helm 3."""
    name, wrong, first = f"{chart} with {file.name}", [], None
    for program, version in [("HELM", version) for version in versions] + [("HELM3", versions[-1])]:
        code, out, talk = template(chart, file, version=version, program=program)
        # Helm 3 has documents of one kind in another order.
        seen = out if program == "HELM" else sorted(out.split("\n---\n"))
        first = out if first is None else first
        if code or seen != (first if program == "HELM" else sorted(first.split("\n---\n"))):
            wrong.append(talk or f"{program} has something else for Kubernetes {version} than for {versions[0]}")
    tell("render", f"{name}: Kubernetes {versions[0]} to {versions[-1]}, Helm 4 and 3", wrong)
    tell("golden", name, stale(HERE / f"golden/{chart}.{file.name}", first))
    return first


def valid(name, found, versions):
    wrong = []
    for version in versions:
        for document in found:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.utils.SchemaNotFoundError:
                if not document["apiVersion"].startswith(("monitoring.coreos.com/", "keda.sh/")):
                    wrong.append(f"{version}: nobody knows {document['apiVersion']} {document['kind']}")
            except kubernetes_validate.ValidationError as error:
                wrong.append(f"{version}: {document['kind']} {document['metadata']['name']}: {error.message}")
    tell("validate", f"{name}: {len(found)} objects", wrong)


def follows():
    """A pod starts anew when what it reads has changed, and not else."""
    def annotation(*values):
        pod = next(d for d in documents(template("product-service", *values)[1]) if d["kind"] == "Deployment")
        return pod["spec"]["template"]["metadata"]["annotations"]["checksum/nearcopy"]

    least = HERE / "values/product-service/least.yaml"
    with tempfile.TemporaryDirectory() as folder:
        other = {"files": [], "text": "service: another"}, {"enabled": True}
        files = [pathlib.Path(folder, name) for name in ("manifest.yaml", "alerts.yaml")]
        for file, (key, value) in zip(files, zip(("manifest", "alerts"), other)):
            file.write_text(yaml.safe_dump({"nearcopy": {key: value}}))
        before, manifest, alerts_on = annotation(least), annotation(least, files[0]), annotation(least, files[1])
    wrong = ["another manifest, and the same pod"] if manifest == before else []
    wrong += ["the same manifest, and another pod"] if alerts_on != before else []
    tell("rule", "a pod starts anew when its manifest has changed, and only then", wrong)


def notes():
    """Who has installed it is told what to type next."""
    code, out, talk = run("install", "shop", CHARTS["nearcopy"], "--dry-run=client", "-f", HERE / "values/nearcopy/least.yaml")
    told = [line.split()[0] for line in out.partition("NOTES:")[2].splitlines() if line.startswith("  ")]
    tell("rule", "NOTES.txt names the next three commands", [talk] if code else [] if told == ["kubectl", "helm", "kubectl"] else [told])


def policy(rendered):
    with tempfile.TemporaryDirectory() as folder:
        for chart, file, _, text in rendered:
            pathlib.Path(folder, f"{chart}.{file.name}").write_text(text)
        for framework, where in (("kubernetes", ["-d", folder]), ("dockerfile", ["-f", str(ROOT / "Dockerfile")])):
            done = subprocess.run(
                [os.environ["CHECKOV"], *where, "--framework", framework, "--compact", "--quiet", "--skip-check", ",".join(PASSED_BY),
                 "--skip-download"], text=True, capture_output=True, cwd=folder)
            counted = re.search(r"Passed checks: (\d+), Failed checks: (\d+)", done.stdout)
            tell("checkov", f"{framework}: {counted[0] if counted else 'no count'}",
                 [done.stdout, done.stderr] if done.returncode or not counted else [])


def alerts(text):
    """The rules as they are rendered: their form, and by promtool's own tests when they fire and when not."""
    rule = next(document for document in documents(text) if document["kind"] == "PrometheusRule")
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "alerts.yaml").write_text(yaml.safe_dump(rule["spec"]))
        pathlib.Path(folder, "test.yaml").write_text((HERE / "alerts.test.yaml").read_text())
        for what, *arguments in (("form", "check", "rules", "alerts.yaml"), ("when they fire", "test", "rules", "test.yaml")):
            done = subprocess.run([os.environ["PROMTOOL"], *arguments], text=True, capture_output=True, cwd=folder)
            tell("alerts", what, [done.stdout, done.stderr] if done.returncode else [])
    tested = set(re.findall(r"alertname: (\w+)", (HERE / "alerts.test.yaml").read_text()))
    named = {alert["alert"] for group in rule["spec"]["groups"] for alert in group["rules"]}
    tell("alerts", f"each of {len(named)} is tested", sorted(named ^ tested))
