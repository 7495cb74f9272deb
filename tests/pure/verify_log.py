#!/usr/bin/env python3
"""Verifies backout audit logs with nothing but the standard library, written apart from backout's own verifier.

usage: verify_log.py DIR[=SEQ:HEAD]...     one line each: verdict, records chained from the start, head
Exit code 0 if every log is whole, 9 if one is not.
"""
import hashlib, json, os, re, sys

KEYS = "v seq prev ts mono boot run by step att kind payload hash".split()
HIDDEN = re.compile("[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
                    "\u115f\u1160\u3164\uffa0\U000e0000-\U000e007f]")
sha = lambda data: hashlib.sha256(data).hexdigest()

def once(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("doubled key")
    return dict(pairs)

def escape(match):
    units = match.group().encode("utf-16-be")
    return "".join("\\u%02x%02x" % (units[i], units[i + 1]) for i in range(0, len(units), 2))

def parse(line):
    """The record; None without a right hash; ValueError with one, but not as backout writes."""
    end = re.search(rb',"hash":"([0-9a-f]{64})"}\n\Z', line)
    if not end or len(line) > 262144 or sha(line[:end.start()]) != end.group(1).decode():
        return None
    record = json.loads(line, object_pairs_hook=once)
    again = HIDDEN.sub(escape, json.dumps(record, ensure_ascii=False, separators=(",", ":"))) + "\n"
    if list(record) != KEYS or record["v"] != 1 or again.encode() != line:
        raise ValueError("another form")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["ts"]):
        raise ValueError("another time")
    return record

def verify(directory, anchor):
    seq, head, run, hashes, closed, broken, torn = 0, "0" * 64, None, [], [], False, False
    names = sorted(name for name in os.listdir(directory) if name.startswith("audit-"))
    for number, name in enumerate(names, 1):
        if name != "audit-%06d.jsonl" % number:
            return "broken", len(hashes), head
        data, good, first, crash = open(os.path.join(directory, name), "rb").read(), 0, True, True
        lines = re.findall(rb"[^\n]*\n|[^\n]+\Z", data)
        for line in lines:
            try:
                record = parse(line)
            except (ValueError, KeyError, TypeError):
                record, crash = None, False
            if record is None:
                break
            opens = record["kind"] == "segment_opened"
            run = run or record["run"]
            linked = (record["seq"], record["prev"], record["run"]) == (seq, head, run)
            if not linked or opens != (first and number > 1):
                crash = False
                break
            if opens:
                said = record["payload"].get("before", []) + [record["payload"]]
                if [{key: s.get(key) for key in closed[0]} for s in said] != closed:
                    crash = False
                    break
                closed, torn = [], False
            good, first, seq, head = good + len(line), False, seq + 1, record["hash"]
            hashes.append(head)
        rest = data[good:]
        if rest:
            *whole, last = rest.split(b"\n")
            crash = crash and all(b"\0" in line for line in whole) and len(last.rstrip(b"\0")) <= 262144
            if not crash:
                return "broken", len(hashes), head
            torn = True
        closed.append({"prev_file": name, "prev_good_len": good, "torn_len": len(rest),
                       "torn_sha256": sha(rest) if rest else None})
    if not hashes:
        return "broken", 0, head
    if anchor and (anchor[0] >= len(hashes) or hashes[anchor[0]] != anchor[1]):
        return "contradicted", len(hashes), head
    return "torn" if torn else "whole", len(hashes), head

def main():
    bad = False
    for argument in sys.argv[1:]:
        directory, _, anchor = argument.partition("=")
        anchor = (int(anchor.split(":")[0]), anchor.split(":")[1]) if anchor else None
        verdict, count, head = verify(directory, anchor)
        bad |= verdict != "whole"
        print(verdict, count, head)
    sys.exit(9 if bad else 0)

main()
