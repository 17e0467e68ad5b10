"""Splits rtpengine's auto-daemon-tests.pl into one script a case: what precedes the first case stands before each."""

import pathlib
import re
import sys


def main(script, folder):
    text = pathlib.Path(script).read_text()
    head, *cases = re.split(r"(?m)^(?=.*\bnew_call\b)", text)
    folder = pathlib.Path(folder)
    folder.mkdir()
    for number, case in enumerate(cases, 1):
        case = re.sub(r"(?m)^done_testing\(\);$", "", case)
        (folder / f"{number:03}.pl").write_text(f"{head}{case}\ndone_testing();\n")


main(*sys.argv[1:])
