"""What has been found: a line each, and at the end how many."""
import sys

found = []


def tell(part, what, wrong=()):
    """One check: right, or why not."""
    wrong = [str(line) for line in wrong]
    found.append(bool(wrong))
    print(f"{'WRONG' if wrong else 'ok':<6} {part:<9} {what}", flush=True)
    for line in wrong:
        print(f"                   {line}", flush=True)


def close():
    """The exit code."""
    wrong = sum(found)
    print(f"{len(found)} checks hold" if not wrong else f"{wrong} of {len(found)} checks do not hold")
    return 1 if wrong or not found else 0


def stale(path, text):
    """Compares a file with what it must be, or writes it where that is asked for."""
    import os

    if os.environ.get("UPDATE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    there = path.read_text() if path.exists() else ""
    if there == text:
        return []
    line = next((n for n, pair in enumerate(zip(there.splitlines(), text.splitlines()), 1) if pair[0] != pair[1]), "the end")
    return [f"{path} is not what comes out, from line {line} on; look at `git diff` after UPDATE=1"]
