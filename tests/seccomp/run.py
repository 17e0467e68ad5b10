"""run.py PROFILE PROGRAM [ARGUMENT]...: runs a program under a seccomp profile of container engines.

The profile becomes a filter by libseccomp, as engines make it one. A call that libseccomp or this architecture does not
know is passed over, as they do.
"""

import errno
import json
import os
import sys

import seccomp

OPS = {"SCMP_CMP_EQ": seccomp.EQ, "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ}


def filter_of(profile):
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    made = seccomp.SyscallFilter(defaction=seccomp.ERRNO(profile.get("defaultErrnoRet", errno.EPERM)))
    for rule in profile["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]:
            if known(name):
                made.add_rule(seccomp.ALLOW, name, *[condition(arg) for arg in rule.get("args", [])])
    return made


def known(name):
    try:
        return seccomp.resolve_syscall(seccomp.Arch(), name) >= 0
    except ValueError:
        return False


def condition(arg):
    values = [arg["value"]] + ([arg["valueTwo"]] if "valueTwo" in arg else [])
    return seccomp.Arg(arg["index"], OPS[arg["op"]], *values)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        profile = json.load(file)
    filter_of(profile).load()
    os.execvp(sys.argv[2], sys.argv[2:])
