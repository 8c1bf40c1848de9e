# What versus runs in the interpreter of --chiavdf-python: the wheel's calls, one a line of JSON, each timed by itself. The time
# is the shorter one of wall time and the processor time of all threads, like that of the other sides. To add a call, add it to
# CALLS and a method to `Wheel` in chiavdf.rs.
import json
import sys
import time
from importlib.metadata import version

import chiavdf

# Chia's encoding of the generator, (2, 1, c).
GENERATOR = b"\x08" + bytes(99)

CALLS = {
    "discriminant": lambda r: chiavdf.create_discriminant(bytes.fromhex(r["seed"]), r["bits"]),
    "prove": lambda r: chiavdf.prove(bytes.fromhex(r["seed"]), GENERATOR, r["bits"], r["iterations"], "").hex(),
    # One Wesolowski proof: y, then the proof, 100 bytes each.
    "verify": lambda r: chiavdf.verify_wesolowski(
        r["discriminant"], GENERATOR, bytes.fromhex(r["proof"])[:100], bytes.fromhex(r["proof"])[100:], r["iterations"]
    ),
}

print(json.dumps({"version": version("chiavdf")}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    call = CALLS[request["call"]]
    processor, wall = time.process_time_ns(), time.perf_counter_ns()
    result = call(request)
    wall, processor = time.perf_counter_ns() - wall, time.process_time_ns() - processor
    print(json.dumps({"result": result, "ns": min(wall, processor)}), flush=True)
