"""Known answers for the scheme `bound-264`, from the rules alone: python3 bound_264.py > bound-264.csv

Independent of the Rust code: Python integers, Gauss composition, complete reduction, the proof as one exponentiation
by floor(2^T / B). Columns: seed, discriminant bits, iterations, challenge prime, y then proof.
"""

import hashlib
import math
import random

M = 8 * 3 * 5 * 7 * 11 * 13
RESIDUES = [r for r in range(M) if r % 8 == 7 and math.gcd(r, M) == 1]


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def is_prime(n):
    if n < 2:
        return False
    for p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37):
        if n % p == 0:
            return n == p
    d, twos = n - 1, 0
    while d % 2 == 0:
        d, twos = d // 2, twos + 1
    rng = random.Random(n)
    for base in [2] + [rng.randrange(2, n - 1) for _ in range(30)]:
        x = pow(base, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def discriminant(seed, bits):
    size = bits // 8
    entropy = b"".join(sha256(seed, i.to_bytes(2, "big")) for i in range(size // 32 + 2))[: size + 2]
    n = int.from_bytes(entropy[:size], "big") | 1 << (bits - 1)
    n += RESIDUES[int.from_bytes(entropy[size:], "big") % len(RESIDUES)] - n % M
    while not is_prime(n):
        n += M
    return -n


def gcd_ext(a, b):
    (r0, u0, v0), (r1, u1, v1) = (a, 1, 0), (b, 0, 1)
    while r1:
        q = r0 // r1
        (r0, u0, v0), (r1, u1, v1) = (r1, u1, v1), (r0 - q * r1, u0 - q * u1, v0 - q * v1)
    return (-r0, -u0, -v0) if r0 < 0 else (r0, u0, v0)


def reduce(a, b, d):
    while True:
        b %= 2 * a
        b -= 2 * a if b > a else 0
        c = (b * b - d) // (4 * a)
        if a < c:
            return a, b
        if a == c:
            return a, abs(b)
        a, b = c, -b


def compose(f, h, d):
    (a1, b1), (a2, b2) = f, h
    c2 = (b2 * b2 - d) // (4 * a2)
    s = (b1 + b2) // 2
    g1, _, v = gcd_ext(a1, a2)
    g, x, w = gcd_ext(g1, s)
    return reduce(a1 * a2 // (g * g), b2 + 2 * (a2 // g) * (x * v * ((b1 - b2) // 2) - w * c2), d)


def power(f, e, d):
    result = (1, 1)
    for bit in bin(e)[2:]:
        result = compose(result, result, d)
        if bit == "1":
            result = compose(result, f, d)
    return result


def encode(form, bits):
    size = (bits // 2 + 8) // 8
    return b"".join(n.to_bytes(size, "big", signed=True) for n in form)


def challenge(d, bits, x, y, iterations):
    transcript = sha256(
        b"shardmark/vdf/bound-264/v1",
        bits.to_bytes(4, "big"),
        (-d).to_bytes(bits // 8, "big"),
        encode(x, bits),
        encode(y, bits),
        iterations.to_bytes(8, "big"),
    )
    counter = 0
    while True:
        blocks = [sha256(transcript, counter.to_bytes(8, "big"), bytes([i])) for i in range(2)]
        candidate = int.from_bytes((blocks[0] + blocks[1])[:33], "big") | 1 << 263 | 1
        if is_prime(candidate):
            return candidate
        counter += 1


def main():
    cases = [(256, 1), (256, 2), (256, 100), (256, 263), (256, 264), (256, 300), (256, 5000), (264, 777), (512, 1000)]
    for index, (bits, iterations) in enumerate(cases + [(1024, 300), (2048, 100), (2048, 266), (2048, 600)]):
        seed = sha256(b"bound-264 known answer", bytes([index]))
        d = discriminant(seed, bits)
        x = (2, 1)
        y = x
        for _ in range(iterations):
            y = compose(y, y, d)
        prime = challenge(d, bits, x, y, iterations)
        proof = power(x, 2**iterations // prime, d)
        assert compose(power(proof, prime, d), power(x, pow(2, iterations, prime), d), d) == y
        blob = encode(y, bits) + encode(proof, bits)
        print(seed.hex(), bits, iterations, f"{prime:066x}", blob.hex(), sep=",", flush=True)


main()
