"""What builds and runs an image: Docker, where it answers; else buildah, and the image's own files as the root of a process."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from helm import ROOT

TARGET = f"{os.uname().machine}-unknown-linux-musl"


def start():
    return Docker() if "DOCKER" in os.environ else Buildah()


def do(*arguments, **options):
    if not shutil.which(str(arguments[0])):
        raise SystemExit(f"failed: {arguments[0]} is missing; without Docker an image needs rustup, cargo, cc, strip and buildah")
    done = subprocess.run(list(map(str, arguments)), text=True, capture_output=True, cwd=ROOT, **options)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def result(done):
    return done.returncode, done.stdout + done.stderr


class Docker:
    def __enter__(self):
        do("docker", "build", "--tag", "nearcopy:check", ".")
        self.folder = tempfile.mkdtemp()
        container = do("docker", "create", "nearcopy:check")
        subprocess.run(f"docker export {container} | tar -x -C {self.folder}", shell=True, check=True)
        do("docker", "rm", container)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def config(self):
        return json.loads(do("docker", "image", "inspect", "nearcopy:check"))[0]["Config"]

    def files(self):
        # What Docker mounts into each container is empty in the image.
        return {path: content for path, content in read(self.folder).items() if content}

    def run(self, arguments, variables, files):
        with tempfile.TemporaryDirectory() as folder:
            mounts = []
            for number, (path, text) in enumerate(files.items()):
                pathlib.Path(folder, str(number)).write_text(text)
                mounts += ["--volume", f"{folder}/{number}:{path}:ro"]
            environment = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
            locked = ["--read-only", "--cap-drop", "ALL", "--network", "none"]
            command = ["docker", "run", "--rm", *locked, *mounts, *environment, "nearcopy:check", *arguments]
            return result(subprocess.run(command, text=True, capture_output=True))


class Buildah:
    """Base images cannot be had everywhere, so what the Dockerfile's first stage makes is made here, and put in its place."""

    def __enter__(self):
        self.unpacked = os.environ["BUILDAH_ROOT"]
        context = ROOT / "target/image"
        compile_into(context / "out")
        self.policy = [f"--{name}={self.unpacked}/etc/containers/{file}" for name, file in
                       (("signature-policy", "policy.json"), ("registries-conf", "registries.conf"))] if self.unpacked else []
        self.buildah("bud", "--isolation", "chroot", *self.policy, "--build-context", f"build={context}", "--tag", "nearcopy:check", ".")
        self.container = self.buildah("from", *self.policy[:1], "nearcopy:check").splitlines()[-1]
        self.folder = self.buildah("mount", self.container)
        return self

    def __exit__(self, *_):
        self.buildah("rm", self.container)
        self.buildah("rmi", "--force", "nearcopy:check")

    def buildah(self, *arguments):
        store = ROOT / ".services/chart/images"
        libraries = [f"{self.unpacked}/{folder}/{os.uname().machine}-linux-gnu" for folder in ("usr/lib", "lib")] if self.unpacked else []
        environment = os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)}
        return do(os.environ["BUILDAH"], "--storage-driver", "vfs", "--root", store, "--runroot", f"{store}.run", *arguments, env=environment)

    def config(self):
        return json.loads(self.buildah("inspect", "--type", "image", "nearcopy:check"))["OCIv1"]["config"]

    def files(self):
        return read(self.folder)

    def run(self, arguments, variables, files):
        for path, text in files.items():
            file = pathlib.Path(self.folder + path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        try:
            command = [shutil.which("chroot"), "--userspec=65532:65532", self.folder, "/nearcopy", *arguments]
            return result(subprocess.run(command, text=True, capture_output=True, env=variables))
        finally:
            for path in files:
                pathlib.Path(self.folder + path).unlink()


def compile_into(folder):
    """The static binary, and the machine's authorities. C is compiled by the usual compiler, whose headers do for it."""
    do("rustup", "target", "add", TARGET)
    environment = os.environ | {f"CC_{TARGET.replace('-', '_')}": "cc"}
    do("cargo", "build", "--quiet", "--locked", "--profile", "dist", "--bin", "nearcopy", "--target", TARGET, env=environment)
    certificates = folder / "etc/ssl/certs"
    certificates.mkdir(parents=True, exist_ok=True)
    do("strip", "-o", folder / "nearcopy", ROOT / f"target/{TARGET}/dist/nearcopy")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", certificates)


def read(folder):
    root = pathlib.Path(folder)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
