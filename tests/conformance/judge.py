"""Runs cases that split.py wrote, one after the other, and tells which fail and by what first.

With numbers behind the folder, runs only those and shows all that they say. What fails against rtpengine itself is told, and forgiven.
"""

import os
import pathlib
import re
import subprocess
import sys

# Seconds for a case.
LIMIT = 20
# Cases that fail alone against rtpengine itself: they go on with what an earlier case left, or need codecs that Debian lacks.
NOT_ALONE = {7, *range(79, 102), 123, 124, 158, 159, 160}
# Words of a case that needs the server to know codecs, tones or fax.
CODECS = re.compile(r"codec|transcod|DTMF|T\.?38|play[ _]media|blob")


def main(folder, *wanted):
    scripts = sorted(pathlib.Path(folder).iterdir())
    header = os.path.commonprefix([script.read_text() for script in scripts])
    counts = {"codec-free cases": [0, 0], "cases": [0, 0]}
    failed = False
    for script in scripts:
        number = int(script.stem)
        if wanted and str(number) not in wanted:
            continue
        text = script.read_text()[len(header) :]
        output, passed = run(script)
        if wanted:
            print(output)
        kinds = ["cases"]
        if not CODECS.search(text) and number not in NOT_ALONE:
            kinds.append("codec-free cases")
        for kind in kinds:
            counts[kind][0] += passed
            counts[kind][1] += 1
        if not passed:
            failed = failed or number not in NOT_ALONE
            mark = "codec-free" if len(kinds) == 2 else "not alone, either, against rtpengine" if number in NOT_ALONE else "codecs"
            print(f"{number:3} ({mark}) {name(text)}: {first_fault(output)}", flush=True)
    for kind, (passed, total) in counts.items():
        print(f"passed {passed} of {total} {kind}")
    return int(failed)


def run(script):
    env = dict(os.environ, LD_PRELOAD=os.environ["CONFORMANCE_PRELOAD"])
    try:
        done = subprocess.run(["perl", str(script)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT)
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + f"\nno end within {LIMIT} s", False
    return done.stdout.decode(errors="replace"), done.returncode == 0


def name(case):
    """What its first request is called."""
    found = re.search(r"(?:offer|answer|publish|subscribe_request)\(\s*['\"]([^'\"]*)", case)
    return found.group(1) if found else "without a name"


def first_fault(output):
    """The first line that differs from what is expected, else the last words."""
    for line in output.splitlines():
        if line.startswith("not ok"):
            return line[7:] + difference(output)
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing said"


def difference(output):
    """Where the first description stops being what was expected."""
    found = re.search(r"(?s)#\s+'(.*?)'\n#\s+doesn't match '(.*?)'\n", output)
    if not found:
        return ""
    got = [re.sub(r"^# ", "", line) for line in found.group(1).splitlines()]
    pattern = found.group(2)
    pattern = re.sub(r"^\(\?\^s:\^|\$\)$", "", pattern)
    expected = [re.sub(r"^# ", "", line) for line in re.split(r"\\?\n", pattern)]
    for index, line in enumerate(expected):
        mine = got[index] if index < len(got) else "(nothing)"
        try:
            alike = re.fullmatch(line, mine)
        except re.error:
            alike = True
        if not alike:
            wanted = re.sub(r"\\(.)", r"\1", line)
            return f": {mine!r}, not {wanted!r}"
    return ""


sys.exit(main(*sys.argv[1:]))
