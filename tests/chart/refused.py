"""Values that must not pass, each with a word of the message that says why."""
import pathlib
import tempfile

import yaml

from helm import HERE, template
from report import tell

# What a person could do nothing with.
UNUSABLE = ("nil pointer", "interface conversion", "wrong type for value", "can't evaluate", "panic", "'not' failed", "incompatible types")


def check():
    for case in yaml.safe_load((HERE / "refused.yaml").read_text()):
        with tempfile.TemporaryDirectory() as folder:
            values = pathlib.Path(folder, "values.yaml")
            values.write_text(yaml.safe_dump(case.get("values", {})))
            least = [] if case.get("alone") else [HERE / f"values/{case['chart']}/least.yaml"]
            code, _, talk = template(case["chart"], *least, values, version=case.get("version", "1.33"))
        wrong = ["it passes"] if not code else []
        if code and case["says"] not in talk:
            wrong = [f"it does not say `{case['says']}`, but:", talk]
        wrong += [f"nobody can do anything with `{word}`: {talk}" for word in UNUSABLE if word in talk]
        tell("refused", f"{case['chart']}: {case['name']}", wrong)
