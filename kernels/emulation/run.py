"""Runs the image on the Bochs CPU model and checks every lane against Python's integers.

Usage: run.py IMAGE [CASES]     needs: bochscpu-python 0.4.0. `scripts/emulate-ifma.sh` provides both.
"""

import os
import random
import struct
import sys
import time

import bochscpu
import bochscpu.cpu
import bochscpu.memory as memory

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
R = 1 << 416
BITS, LIMBS, LANES = 52, 8, 8
LOW = (1 << BITS) - 1
ROWS = LIMBS * LANES
MASK = 0b10100110
# As in `Results`.
VALUES = "tight add sub sub_wide mul mul_constant sqr select splat rows mul0 mul1 sqr0 sqr1".split()

PAGE = 4096
CASES_AT, RESULTS_AT, STACK_TOP, STACK_PAGES = 0x10000000, 0x20000000, 0x30000000, 64
TABLE_AT, MEMORY_AT = 0x800000, 0x1000000


# Limbs at their edges. Two factors of the last have both halves of their product near the top.
EDGES = [0, 1, LOW, LOW - 1, 1 << (BITS - 1), (1 << BITS) - (1 << (BITS // 2)) + 1]


def hostile(rng, bound):
    """A value below `bound` times the prime at an edge of that or of the limbs."""
    top = bound * P - 1
    last = (top >> (BITS * 7)) - 1
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice([0, 1, P - 1, P, P + 1, 2 * P, top, top - 1, rng.randrange(bound) * P])
    if kind == 1:  # Long carries.
        return min(top, (1 << rng.randrange(1, top.bit_length() + 1)) - rng.randrange(2))
    if kind == 2:
        limbs = [rng.choice(EDGES) for _ in range(LIMBS - 1)]
    else:
        limbs = [rng.choice(EDGES)] * (LIMBS - 1)
    return sum(limb << (BITS * i) for i, limb in enumerate(limbs + [rng.choice([0, 1, last])]))


def operands(rng, bound):
    """`a[0]`, `a[1]`, `b[0]`, `b[1]` of one lane: hostile all, some or none."""
    share = rng.choice([0, 0.5, 1])
    return [hostile(rng, bound) if rng.random() < share else rng.randrange(bound * P) for _ in range(4)]


def limbs_of(value):
    return [value >> (BITS * i) & LOW for i in range(LIMBS)]


class Machine:
    """A 64-bit CPU with AVX-512 on, and nothing but pages of memory."""

    def __init__(self):
        self.pages = {}

    def put(self, address, data):
        while data:
            offset = address % PAGE
            page = self.pages.setdefault(address // PAGE, bytearray(PAGE))
            part = data[: PAGE - offset]
            page[offset : offset + len(part)] = part
            address, data = address + len(part), data[len(part) :]

    def load_elf(self, elf):
        """Puts the loadable segments (System V ABI, chapter 4 and 5); gives the entry."""
        entry, headers = struct.unpack_from("<QQ", elf, 24)
        for i in range(struct.unpack_from("<H", elf, 56)[0]):
            kind, _, offset, address, _, size, whole, _ = struct.unpack_from("<IIQQQQQQ", elf, headers + 56 * i)
            if kind == 1:
                self.put(address, elf[offset : offset + size] + bytes(whole - size))
        return entry

    def run(self, entry, arguments):
        """Until `hlt`; gives the exceptions, after the first of which it stops."""
        session, table = bochscpu.Session(), memory.PageMapLevel4Table()
        self.kept = session, table  # Memory is read through them later.

        def missing(address):
            raise RuntimeError(f"no page at {address:#x}")

        session.missing_page_handler = missing
        for i, (page, data) in enumerate(self.pages.items()):
            memory.page_insert(MEMORY_AT + i * PAGE, memory.allocate_host_page())
            table.insert(page * PAGE, MEMORY_AT + i * PAGE, 1)  # 1: writable
            memory.phy_write(MEMORY_AT + i * PAGE, list(data))
        for host, guest in table.commit(TABLE_AT):
            memory.page_insert(guest, host)

        # Intel 64 and IA-32 Software Developer's Manual, volume 3, chapter 2 (control registers).
        state = bochscpu.State()
        bochscpu.cpu.set_long_mode(state)
        state.cr3, state.xcr0 = TABLE_AT, 0xE7  # x87, SSE, AVX, mask registers, both halves of ZMM
        state.cr4 |= 1 << 5 | 1 << 9 | 1 << 10 | 1 << 18  # PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
        state.cr0 = (state.cr0 | 0x80000023) & ~0xC  # PG, NE, MP, PE; not EM, TS
        state.efer |= 0x500  # LME, LMA
        state.cs = segment(0x08, 0xA09B)
        for register in ("ds", "es", "ss", "fs", "gs"):
            setattr(state, register, segment(0x10, 0xC093))
        state.rip, state.rsp = entry, STACK_TOP - 8
        state.rdi, state.rsi, state.rdx = arguments
        session.cpu.state = state

        exceptions, hook = [], bochscpu.Hook()

        def exception(running, _cpu, vector, _code):
            exceptions.append(f"exception {vector} at {session.cpu.rip:#x}")
            running.stop()

        hook.exception, hook.hlt = exception, lambda running, _cpu: running.stop()
        session.run([hook])
        return exceptions

    def get(self, address, size):
        pages = range(address // PAGE, (address + size + PAGE - 1) // PAGE)
        data = b"".join(bytes(memory.virt_read(TABLE_AT, page * PAGE, PAGE)) for page in pages)
        return data[address % PAGE :][:size]


def segment(selector, attributes):
    made = bochscpu.Segment()
    made.present, made.selector, made.base, made.limit, made.attr = True, selector, 0, 0xFFFFFFFF, attributes
    return made


def judge(lane, taken, first, got, zero):
    """Names what is wrong with one lane; `first` are `a[0]` and `b[0]` of lane 0."""
    a0, a1, b0, b1 = taken
    product = lambda name, value: got[name] < 3 * P and (got[name] * R - value) % P == 0
    checks = {
        "tight": got["tight"] < 2 * P and (got["tight"] - b0) % P == 0,
        "add": got["add"] == a0 + b0,
        "sub": got["sub"] == a0 + 8 * P - got["tight"],
        "sub_wide": got["sub_wide"] == a0 + 32 * P - b0,
        "mul": product("mul", a0 * b0),
        "mul_constant": product("mul_constant", a0 * first[1]),
        "sqr": product("sqr", a0 * a0),
        "select": got["select"] == (a0 if MASK >> lane & 1 else b0),
        "splat": got["splat"] == first[0],
        "rows": got["rows"] == a0,
        "mul0": product("mul0", a0 * b0 - a1 * b1),
        "mul1": product("mul1", a0 * b1 + a1 * b0),
        "sqr0": product("sqr0", a0 * a0 - a1 * a1),
        "sqr1": product("sqr1", 2 * a0 * a1),
        "is_zero": zero[0] >> lane & 1 == (a0 % P == 0) and zero[1] == 0xFF,
    }
    return [name for name, right in checks.items() if not right]


def main(image, count):
    rng = random.Random(1)
    # The bound of `Ring::sqr`, and of `Ring::mul`, for it squares to 1024.
    cases = []
    for _ in range(count):
        lanes = [operands(rng, 32) for _ in range(LANES)]
        cases.append([[lane[k] for lane in lanes] for k in range(4)])

    machine = Machine()
    entry = machine.load_elf(open(image, "rb").read())
    words = [limb for case in cases for element in case for lane in element for limb in limbs_of(lane)]
    machine.put(CASES_AT, struct.pack(f"<{len(words)}Q", *words))
    per_case = len(VALUES) * ROWS + 2
    machine.put(RESULTS_AT, bytes(8 * per_case * count))
    machine.put(STACK_TOP - STACK_PAGES * PAGE, bytes(STACK_PAGES * PAGE))

    start = time.monotonic()
    exceptions = machine.run(entry, (CASES_AT, RESULTS_AT, count))
    took = time.monotonic() - start
    results = struct.unpack(f"<{per_case * count}Q", machine.get(RESULTS_AT, 8 * per_case * count))

    wrong = list(exceptions)
    for i, case in enumerate(cases):
        part = results[i * per_case : (i + 1) * per_case]
        for lane in range(LANES):
            got = {}
            for j, name in enumerate(VALUES):
                limbs = part[j * ROWS + lane * LIMBS :][:LIMBS]
                got[name] = sum(limb << (BITS * k) for k, limb in enumerate(limbs))
                if any(limb > LOW for limb in limbs):
                    wrong.append(f"case {i} lane {lane}: {name} has a limb above {BITS} bits")
            names = judge(lane, [case[k][lane] for k in range(4)], (case[0][0], case[2][0]), got, part[-2:])
            wrong += [f"case {i} lane {lane}: {name}" for name in names]

    for line in wrong[:10]:
        print(f"WRONG: {line}")
    print(f"{len(VALUES) + 1} results in each of {LANES * count} lanes, {len(wrong)} wrong; emulated in {took:.1f} s")
    sys.stdout.flush()
    return bool(wrong)


if __name__ == "__main__":
    try:
        failed = main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
    except BaseException as error:
        print(f"error: {error!r}", file=sys.stderr, flush=True)
        failed = True
    # Past the module's own end, which can crash.
    os._exit(failed)
