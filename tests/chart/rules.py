"""What must hold of all that is rendered, and no schema knows. Each rule says what is wrong; its first line, what must be."""
import base64
import re

from helm import ROOT

ROUTES = set(re.findall(r'\.route\("(/\w+)"', (ROOT / "src/api/admin.rs").read_text()))


def settings():
    """The variables that the product knows."""
    section, known = "", set()
    for line in (ROOT / "config/default.toml").read_text().splitlines():
        if found := re.match(r"\[(\w+)\]", line):
            section = found[1]
        elif found := re.match(r"(\w+) = ", line):
            known |= {f"NEARCOPY__{section}__{found[1]}".upper() + suffix for suffix in ("", "_FILE")}
    return known


def pods(documents):
    """The name of each workload, its kind, and the metadata and the spec of its pods."""
    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        if kind == "Pod":
            yield document["metadata"]["name"], kind, document["metadata"], spec
        if kind == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if kind in ("Deployment", "CronJob"):
            yield document["metadata"]["name"], kind, spec["template"]["metadata"], spec["template"]["spec"]


def containers(documents):
    for name, kind, _, spec in pods(documents):
        for container in spec.get("initContainers", []) + spec["containers"]:
            yield f"{name}/{container['name']}", kind, container


def kinds(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def bounded(documents, _):
    """each container has a limit of memory, and asks for CPU and memory"""
    for name, _, container in containers(documents):
        resources = container.get("resources", {})
        if "memory" not in resources.get("limits", {}) or {"cpu", "memory"} - set(resources.get("requests", {})):
            yield name


def pinned(documents, _):
    """each image has a version or a digest"""
    for name, _, container in containers(documents):
        if not re.search(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[\w.-]+$", container["image"]):
            yield f"{name}: {container['image']}"


def probed(documents, _):
    """probes ask for paths that are served, at ports that are there"""
    for name, kind, container in containers(documents):
        probes = {key: probe["httpGet"] for key, probe in container.items() if key.endswith("Probe")}
        ports = {port["name"] for port in container.get("ports", [])}
        yield from (f"{name}: {key} at {get['port']}" for key, get in probes.items() if get["port"] not in ports)
        if container["name"] == "nearcopy":
            yield from (f"{name}: {get['path']}" for get in probes.values() if get["path"] not in ROUTES)
            if not {"startupProbe", "livenessProbe"} <= set(probes):
                yield f"{name}: no startup or liveness probe"


def beside(documents, values):
    """nearcopy is in each pod once; as a sidecar among the init containers, with restartPolicy Always; and none keeps a job alive"""
    native = (values.get("nearcopy") or {}).get("native", True)
    for name, kind, _, spec in pods(documents):
        before = [c for c in spec.get("initContainers", []) if c["name"] == "nearcopy"]
        within = [c for c in spec["containers"] if c["name"] == "nearcopy"]
        if kind == "Pod":
            continue
        alone = len(spec["containers"]) == 1 and within
        if len(before) + len(within) != 1:
            yield f"{name}: {len(before) + len(within)} of them"
        elif not alone and native != bool(before) or kind == "CronJob" and within:
            yield f"{name}: at the wrong place"
        yield from (f"{name}: restartPolicy {c.get('restartPolicy')}" for c in before if c.get("restartPolicy") != "Always")


def discreet(documents, _):
    """no secret is anywhere but in a Secret"""
    for document in documents:
        if document["kind"] != "Secret" and re.search(r"hush|://[^/\s:@]+:(?!\$\()[^/\s@]+@", str(document)):
            yield f"{document['kind']} {document['metadata']['name']}"
    for secret in kinds(documents, "Secret"):
        for key, value in secret["data"].items():
            if not base64.b64decode(value, validate=True):
                yield f"{key} is empty"


def known(documents, _):
    """each variable is a setting that there is, given once"""
    for name, _, container in containers(documents):
        given = [variable["name"] for variable in container.get("env", [])]
        yield from (f"{name}: {v}" for v in given if v.startswith("NEARCOPY__") and v not in settings())
        plain = [variable.removesuffix("_FILE") for variable in given]
        yield from (f"{name}: {v} twice" for v in set(plain) if plain.count(v) > 1)


def mounted(documents, _):
    """each mount has its volume, each volume a mount, and each file that a setting names is in one"""
    for name, _, _, spec in pods(documents):
        every = spec.get("initContainers", []) + spec["containers"]
        mounts = [mount for container in every for mount in container.get("volumeMounts", [])]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        yield from (f"{name}: {odd}" for odd in {mount["name"] for mount in mounts} ^ set(volumes))
        sources = volumes.get("nearcopy-secrets", {}).get("projected", {}).get("sources", [])
        files = {item["path"] for source in sources for item in source["secret"]["items"]}
        for variable in (v for container in every for v in container.get("env", []) if v["name"].endswith("_URL_FILE")):
            if variable["value"].removeprefix("/etc/nearcopy/secrets/") not in files:
                yield f"{name}: {variable['value']}"


def restricted(documents, _):
    """pods meet the restricted standard, write nowhere, and have no token"""
    for name, _, _, spec in pods(documents):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name}: a service account's token"
        for container in spec.get("initContainers", []) + spec["containers"]:
            context = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
            wanted = {"runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "runAsUser": 65532,
                      "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
            yield from (f"{name}/{container['name']}: {key}" for key, value in wanted.items() if context.get(key) != value)


def labelled(documents, _):
    """each object says by its labels whose it is, and no name is too long"""
    for document in documents:
        labels = document["metadata"].get("labels", {})
        if not {"app.kubernetes.io/name", "app.kubernetes.io/instance"} <= set(labels):
            yield f"{document['kind']} {document['metadata']['name']}"
        if len(document["metadata"]["name"]) > 63 or any(len(value) > 63 for value in labels.values()):
            yield f"{document['kind']} {document['metadata']['name']} is too long"


def found(documents, _):
    """whatever selects something selects it: services, budgets, policies, monitors, scalers"""
    made = list(pods(documents))

    def those(labels):
        return [spec for _, _, metadata, spec in made if labels.items() <= metadata["labels"].items()]

    def ports(specs):
        return {port["name"] for spec in specs for c in spec.get("initContainers", []) + spec["containers"] for port in c.get("ports", [])}

    for service in kinds(documents, "Service"):
        yield from (f"Service: {port}" for port in service["spec"]["ports"] if port["targetPort"] not in ports(those(service["spec"]["selector"])))
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"), ("PodMonitor", "selector")):
        for document in kinds(documents, kind):
            if not those(document["spec"][key]["matchLabels"]):
                yield f"{kind}: no pod"
    for monitor in kinds(documents, "PodMonitor"):
        there = ports(those(monitor["spec"]["selector"]["matchLabels"]))
        yield from (f"PodMonitor: {end}" for end in monitor["spec"]["podMetricsEndpoints"] if end["port"] not in there or end["path"] not in ROUTES)
    for monitor in kinds(documents, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        there = [s for s in kinds(documents, "Service") if wanted.items() <= s["metadata"]["labels"].items()]
        named = {port["name"] for service in there for port in service["spec"]["ports"]}
        yield from (f"ServiceMonitor: {end}" for end in monitor["spec"]["endpoints"] if end["port"] not in named or end["path"] not in ROUTES)


def scaled(documents, _):
    """a scaler has a target that leaves it the number of pods, a way to look, and bounds"""
    for scaler in kinds(documents, "ScaledObject"):
        spec = scaler["spec"]
        target = [d for d in kinds(documents, "Deployment") if d["metadata"]["name"] == spec["scaleTargetRef"]["name"]]
        if len(target) != 1 or "replicas" in target[0]["spec"]:
            yield "its target"
        if not 1 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]:
            yield "its bounds"
        logins = {login["metadata"]["name"]: login["spec"]["secretTargetRef"] for login in kinds(documents, "TriggerAuthentication")}
        for trigger in spec["triggers"]:
            login = logins.get(trigger["authenticationRef"]["name"], [])
            whole = set(trigger["metadata"]) == {"protocol", "mode", "queueName", "value"}
            if not whole or not all(isinstance(value, str) for value in trigger["metadata"].values()) or [s["parameter"] for s in login] != ["host"]:
                yield f"its trigger {trigger['metadata']}"


def patient(documents, _):
    """pods have longer to end than nearcopy takes"""
    for name, kind, _, spec in pods(documents):
        if kind == "Deployment" and spec.get("terminationGracePeriodSeconds", 30) <= 10:
            yield name


ALL = [bounded, pinned, probed, beside, discreet, known, mounted, restricted, labelled, found, scaled, patient]
