"""Known answers for the chunk tree: a recursive implementation that shares nothing with the Rust one.

    python3 -m venv venv && venv/bin/pip install blake3==1.0.11 && venv/bin/python merkle.py > merkle.json
"""

import json
from blake3 import blake3


def h(data):
    return blake3(data).digest()


def u32(number):
    return number.to_bytes(4, "little")


def chunk(case, index, length):
    """Byte j of chunk i is (31 i + 7 j + case) mod 256."""
    return bytes((31 * index + 7 * j + case) % 256 for j in range(length))


def subtree(chunks, start, width):
    """The hash over places start .. start + width; places without a chunk are absent."""
    if width == 1:
        return h(b"\x00" + u32(start) + chunks[start]) if start < len(chunks) else h(b"\x02")
    half = width // 2
    return h(b"\x01" + subtree(chunks, start, half) + subtree(chunks, start + half, half))


def width_of(leaves):
    width = 1
    while width < leaves:
        width *= 2
    return width


def root(chunks):
    return h(b"\x03" + u32(len(chunks)) + subtree(chunks, 0, width_of(len(chunks))))


def proof(chunks, index):
    """Top down: the half that does not hold the index, then the other half; reversed at the end."""
    siblings, start, width = [], 0, width_of(len(chunks))
    while width > 1:
        width //= 2
        if index < start + width:
            siblings.append(subtree(chunks, start + width, width))
        else:
            siblings.append(subtree(chunks, start, width))
            start += width
    return siblings[::-1]


cases = []
for number, (leaves, length) in enumerate(
    [(1, 0), (1, 1), (2, 64), (3, 65), (4, 1), (5, 1024), (7, 63), (8, 2), (14, 1025), (64, 33), (256, 5), (257, 3)]
):
    chunks = [chunk(number, i, length) for i in range(leaves)]
    proofs = {i: [s.hex() for s in proof(chunks, i)] for i in sorted({0, leaves // 2, leaves - 1})}
    cases.append({"case": number, "leaves": leaves, "chunk_bytes": length, "root": root(chunks).hex(), "proofs": proofs})
lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
print('{"chunk":"byte j of chunk i is (31 i + 7 j + case) mod 256","cases":[\n%s\n]}' % lines)
