"""The image: built by the Dockerfile, small, without a shell, and at work as the user it names."""
import json
import os
import pathlib
import re
import subprocess
import tempfile

import yaml

import engine
from helm import HERE, ROOT, documents
from report import tell
from rules import pods

LARGEST = 25_000_000
VERSION = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]


def check():
    image = engine.start()
    with image:
        looks(image)
        works(image)


def looks(image):
    config, files = image.config(), image.files()
    wrong = {"User": "65532:65532", "Entrypoint": ["/nearcopy"], "Cmd": ["run"], "StopSignal": "SIGTERM"}
    tell("image", "runs /nearcopy as user 65532", [f"{key}: {config.get(key)}" for key, value in wrong.items() if config.get(key) != value])
    size = sum(len(content) for content in files.values())
    tell("image", f"{size / 1e6:.1f} MB, at most {LARGEST / 1e6:.0f}", [] if size <= LARGEST else ["too large"])
    expected = {"nearcopy", "etc/ssl/certs/ca-certificates.crt"}
    tell("image", "holds the binary and the authorities, and nothing else", sorted(set(files) ^ expected))
    tell("image", "the binary is static", [] if is_static(files["nearcopy"]) else ["it asks for a loader"])
    count = files["etc/ssl/certs/ca-certificates.crt"].count(b"BEGIN CERTIFICATE")
    tell("image", f"{count} authorities", [] if count > 50 else ["too few"])


def is_static(binary):
    """No program header of an ELF file names an interpreter."""
    start, size, count = (int.from_bytes(binary[at:to], "little") for at, to in ((32, 40), (54, 56), (56, 58)))
    return binary[:5] == b"\x7fELF\x02" and all(binary[start + n * size] != 3 for n in range(count))


def works(image):
    code, out = image.run(["--version"], {}, {})
    tell("image", f"says that it is {VERSION}", [] if (code, out.strip()) == (0, f"nearcopy {VERSION}") else [code, out])
    for file in sorted((HERE / "golden").glob("*.yaml")):
        variables, files = mounted(documents(file.read_text()))
        if files:
            code, out = image.run(["check"], variables, files)
            tell("image", f"`check` takes what {file.name} mounts", [code, out] if code or "is right" not in out else [])
            code, out = image.run(["settings"], variables, files)
            tell("image", f"`settings` takes the variables of {file.name}", [code, out] if code else [])
    code, out = image.run(["check", "/etc/nearcopy/manifest"], {}, {"/etc/nearcopy/manifest/nearcopy.yaml": "service: 1\n"})
    tell("image", "`check` refuses what is wrong", [] if code == 4 and "N" in out else [code, out])
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    configs = {name: config["content"] for name, config in compose["configs"].items()}
    code, out = image.run(["check", "/nearcopy.yaml"], {}, {"/nearcopy.yaml": configs["manifest"]})
    json.loads(configs["ada"]), json.loads(configs["definitions"])
    named = {use["source"] for service in compose["services"].values() for use in service.get("configs", [])}
    tell("image", "`check` takes the manifest of compose.yaml", ([code, out] if code else []) + sorted(named ^ set(configs)))


def mounted(found):
    """What a rendered pod has: its variables, and the files of its manifest and its secrets."""
    _, _, _, spec = next(pod for pod in pods(found) if pod[1] == "Pod")
    variables = {variable["name"]: variable.get("value", "hush-hush") for variable in spec["containers"][0]["env"]}
    maps = {document["metadata"]["name"]: document["data"] for document in found if document["kind"] == "ConfigMap"}
    name = next(volume["configMap"]["name"] for volume in spec["volumes"] if volume["name"] == "nearcopy-manifest")
    if name not in maps:
        return {}, {}
    files = {f"/etc/nearcopy/manifest/{file}": text for file, text in maps[name].items()}
    key = "SGVyZSBhcmUgdGhpcnR5LXR3byByYW5kb20gYnl0ZXM="
    example = {"rabbitmq.url": "amqp://a:b@c", "mongodb.url": "mongodb://a:b@c/d", "read.token": "0123456789abcdef", "fetch.token": "0123456789abcdef", "admin.token": "0123456789abcdef"}
    example |= {"protect.hash_key": key, "protect.encrypt_keys": f"k1 {key}"}
    return variables, files | {f"/etc/nearcopy/secrets/{name}": text for name, text in example.items()}
