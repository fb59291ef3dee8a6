"""The tables of values in the charts' README.md, written from the comments of values.yaml; and what README.md shows."""
import re

import yaml

from helm import CHARTS, HERE, ROOT
from report import stale, tell


def check():
    for chart in ("nearcopy-lib", "nearcopy"):
        path = CHARTS[chart] / "README.md"
        before, after = (path.read_text().split("<!-- values -->") + [""])[:2]
        tell("table", f"{chart}/README.md", stale(path, before + "<!-- values -->\n\n" + table(CHARTS[chart] / "values.yaml")))
    shown = re.findall(r"```yaml\n( *initContainers:\n.*?)```", (ROOT / "README.md").read_text(), re.S)
    golden = squeezed((HERE / "golden/product-service.least.yaml").read_text())
    tell("table", "README.md shows what is rendered", [] if shown and all(squeezed(part) in golden for part in shown) else ["it does not"])


def squeezed(text):
    return "\n".join(line.strip() for line in text.splitlines())


def table(path):
    """A line for each value that has a comment `# --`."""
    values, trail, said, lines = yaml.safe_load(path.read_text()), [], "", ["| Value | Default | Meaning |", "| --- | --- | --- |"]
    for line in path.read_text().splitlines():
        found = re.match(r"( *)(# -- )?(.*)", line)
        indent, marked, rest = len(found[1]) // 2, found[2], found[3]
        if marked:
            said = rest
        elif key := re.match(r"(\w+):", rest):
            trail = trail[:indent] + [key[1]]
            value = values
            for name in trail:
                value = value[name]
            if said:
                lines.append(f"| `{'.'.join(trail)}` | {shown(value)} | {said} |")
            said = ""
    return "\n".join(lines) + "\n"


def shown(value):
    if value in ("", [], {}):
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False).removesuffix("...\n").strip()
    return f"`{text}`"
