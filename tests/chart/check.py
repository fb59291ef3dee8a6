"""Checks the charts and the image, a line each. `run` starts this, with what it needs in the environment."""
import sys

import charts
import image
import refused
import report
import walk


def main(parts):
    if "charts" in parts:
        charts.check()
        refused.check()
        walk.check()
    if "image" in parts:
        image.check()
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
