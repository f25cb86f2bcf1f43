#!/usr/bin/env python3
"""What a run of the transcripts means: each scenario must be in one of the two lists, and do what its list says.

    transcript_verdicts.py OUTPUT PASSING MISSING [--part] [--update]

OUTPUT is what the kit's `check` printed. PASSING lists scenarios that are answered exactly like Pravega 0.13 does; one of them that
differs is a failure. MISSING lists patterns of scenarios that need what Millrace does not have yet, with the reason; they may differ, but
only by a refusal: an answer that is wrong is never excused. A scenario in neither list is a failure, and so is a pattern that no
scenario fits. --part: only some scenarios ran. --update: adds those that are the same to PASSING; never takes one away.

Prints lines that run-all counts. As it fails on what is new, the lists stay complete; the kit grows, and so do they.
"""
import fnmatch
import re
import sys

from cases import note

# In the answer that differs: the product says that it does not have this, or a preparation that needs it said so.
REFUSALS = ('"UNIMPLEMENTED"', '"OperationUnsupported"', '"(preparation failed)"')


def verdicts(path):
    """(names that are the same, name -> lines of its difference)"""
    same, different, lines = set(), {}, None
    with open(path, errors="replace") as file:
        for line in file:
            words = line.split()
            if words and not line[0].isspace() and words[0] in ("same", "different"):
                lines = [line.rstrip()]
                if words[0] == "same":
                    same.add(words[1])
                else:
                    different[words[1].rstrip(":")] = lines
            elif lines is not None and line[:1].isspace():
                lines.append(line.rstrip())
    return same, different


def entries(path):
    with open(path) as file:
        return [line.split(None, 1) for line in file if line.strip() and not line.startswith("#")]


def refused(lines):
    got = next((line for line in lines if line.startswith("    got ")), "")
    return any(word in got for word in REFUSALS)


def update(path, passing):
    with open(path) as file:
        head = [line for line in file if line.startswith("#")]
    with open(path, "w") as file:
        file.writelines(head + [name + "\n" for name in sorted(passing)])
    note(f"{path} now has {len(passing)} scenarios")


def main(arguments):
    options = {word for word in arguments if word.startswith("--")}
    if len(arguments) - len(options) != 3 or options - {"--part", "--update"}:
        print(__doc__, file=sys.stderr)
        return 2
    output, passing_path, missing_path = (word for word in arguments if not word.startswith("--"))
    same, different = verdicts(output)
    passing = {words[0] for words in entries(passing_path)}
    missing = [(words[0], words[1].strip() if len(words) > 1 else "") for words in entries(missing_path)]
    failed, kept, waiting, new, early = [], 0, 0, [], []

    def fail(name, why):
        failed.append(name)
        for line in different.get(name, [])[:16]:
            print("       " + line[:400])
        print(f"FAILED transcript {name}: {why}", flush=True)

    for name in sorted(same | set(different)):
        reason = next((why for pattern, why in missing if fnmatch.fnmatchcase(name, pattern)), None)
        if name in passing:
            if name in same:
                kept += 1
            else:
                fail(name, "it was the same once")
        elif name in same:
            (new if reason is None else early).append(name)
            if reason is None and "--update" not in options:
                fail(name, "it is the same and in no list; scripts/ratchet-transcripts adds it")
        elif reason is None:
            fail(name, "it differs and is in no list")
        elif not refused(different[name]):
            fail(name, f"it waits for {reason}, but it differs in another way than by a refusal")
        else:
            waiting += 1
    if "--part" not in options:
        for name in sorted(passing - same - set(different)):
            fail(name, "it is in the list and did not run")
        for pattern, _ in missing:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in same | set(different)):
                fail(pattern, "this pattern of what is not there yet fits no scenario")
    for pattern, why in missing:
        if not re.search(r"\w{4}", why):
            fail(pattern, "it does not say what it waits for")
    if early:
        note(f"{len(early)} scenarios that wait for something are the same by now (scripts/ratchet-transcripts adds them):")
        for name in early[:20]:
            note("  " + name)
    if "--update" in options:
        update(passing_path, passing | same)
    note(f"{len(same)} of {len(same) + len(different)} scenarios are the same, {waiting} wait for what is not there yet")
    print(f"counted {kept} passed, 0 failed, 0 skipped: transcripts", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
