#!/usr/bin/env python3
"""Splices the tables of committed results into README.md, between its markers.

Usage: scripts/readme_tables.py FOLDER..      needs: Python 3.8; each FOLDER is one of reports/, of one machine, with
README.md, versus.jsonl and bundles
"""
import json
import pathlib
import sys

ROWS = [  # backend, kernel, case, words in the peer's name
    ("cpu", "bls/verify-batch", "sets=128 messages=128", "verify_multiple"),
    ("cpu", "bls/verify-batch", "sets=250 messages=1", "verify_multiple"),
    ("cpu", "bls/verify-batch", "sets=250 messages=1", "one by one"),
    ("cpu", "bls/verify-batch", "sets=250 messages=1", "commonware"),
    ("simd", "bls/verify-batch", "sets=128 messages=128", "verify_multiple"),
    ("simd", "bls/verify-batch", "sets=250 messages=1 bad=0 from=points", "verify_multiple"),
    ("simd", "bls/verify-batch", "sets=250 messages=1 bad=0 from=points", "commonware"),
    ("simd", "bls/verify-batch", "sets=250 messages=1 bad=0 from=points", "shardmark cpu"),
    ("simd", "bls/verify-batch", "sets=250 messages=1 bad=1 from=points", "one by one"),
    ("simd", "bls/layers", "fp isa=avx2 mul", "blst_fp_mul"),
    ("simd", "bls/layers", "hash to G2 isa=avx2 n=128", "blst_hash_to_g2"),
    ("simd", "erasure/encode", "code=rs-fft8 k=10 m=4 body_bytes=1048576", "ISA-L"),
    ("simd", "erasure/encode", "code=rs-fft8 k=32 m=32 body_bytes=1048576", "reed-solomon-simd"),
    ("simd", "erasure/encode", "code=rs-fft8 k=32 m=32 body_bytes=1048576", "counted limit"),
    ("simd", "erasure/encode", "code=rs-fft8 k=85 m=171 body_bytes=1048576", "reed-solomon-simd"),
    ("simd", "erasure/encode", "code=rs-fft8 k=128 m=128 body_bytes=1048576", "reed-solomon-simd"),
    ("simd", "erasure/encode", "code=rs-fft16 k=667 m=1333 body_bytes=1048576", "reed-solomon-simd"),
    ("simd", "erasure/encode", "code=rs-vandermonde k=32 m=32 body_bytes=1048576", "simd-accel"),
    ("simd", "erasure/reconstruct", "code=rs-fft8 k=32 m=32 missing=32 body_bytes=32768", "reed-solomon-simd"),
    ("simd", "erasure/reconstruct", "code=rs-fft8 k=32 m=32 missing=random body_bytes=1048576", "reed-solomon-simd"),
    ("simd", "erasure/reconstruct", "code=rs-fft8 k=128 m=128 missing=random body_bytes=1048576", "reed-solomon-simd"),
    ("simd", "erasure/reconstruct", "code=rs-fft16 k=667 m=1333 missing=667 body_bytes=1048576", "reed-solomon-simd"),
    ("cpu", "secp256k1/recover", "batch=1000", "libsecp256k1"),
    ("cpu", "vdf/square", "bits=2048", "chiavdf"),
    ("cpu", "vdf/square", "bits=2048", "poanetwork"),
    ("cpu", "vdf/square", "bits=1024", "chiavdf"),
    ("cpu", "vdf/evaluate", "scheme=chia-264 bits=1024", "chiavdf"),
    ("cpu", "vdf/verify", "scheme=chia-264 bits=1024", "chiavdf"),
    ("cpu", "vdf/verify", "scheme=harmony-128 bits=2048 iterations=300 discriminant=derived", "corrected"),
    ("cpu", "vdf/discriminant", "bits=2048", "GMP"),
    ("cpu", "vdf/rsa-square", "bits=2048 instances=1", "OpenSSL"),
    ("simd", "vdf/rsa-square", "bits=2048 instances=4", "GMP"),
    ("simd", "vdf/rsa-square", "bits=2048 instances=4", "OpenSSL"),
    ("simd", "vdf/discriminant", "bits=2048", "GMP"),
]
RUNS = ["local-4", "local-16", "local-250", "opaque-4"]


def ms(ns):
    return "unknown" if ns is None else f"{ns / 1e6:,.0f} ms"


def speeds(row):
    if "ours_bytes_per_s" in row:
        return f"{row['ours_bytes_per_s'] / 1e9:,.2f} / {row['peer_bytes_per_s'] / 1e9:,.2f} GB/s"
    return f"{row['ours_ns'] / 1e3:,.1f} / {row['peer_ns'] / 1e3:,.1f} µs"


def versus(folder):
    rows = [json.loads(line) for line in (folder / "versus.jsonl").read_text().splitlines()]
    lines = ["| kernel, backend | case | against | ours / peer, an item or data bytes | ratio [p10, p90] |", "| --- | --- | --- | --: | --: |"]
    for backend, kernel, case, words in ROWS:
        if not any((row["backend"], row["kernel"]) == (backend, kernel) for row in rows):
            continue
        for row in rows:
            if (row["backend"], row["kernel"]) == (backend, kernel) and row["case"].startswith(case) and words in row["peer"]:
                times = speeds(row)
                ratio = f"{row['ratio']:.2f}x [{row['ratio_p10']:.2f}, {row['ratio_p90']:.2f}]"
                lines.append(f"| `{kernel}`, {backend} | {row['case']} | {row['peer']} | {times} | {ratio} |")
                break
        else:
            sys.exit(f"error: {folder / 'versus.jsonl'} has no row {kernel} {case} on {backend} against {words}")
    return lines


def runs(folder):
    names = [name for name in RUNS if (folder / name / "summary.json").is_file()]
    if not names:
        return []
    lines = ["", "| run | transactions final | blocks, view changes | finality p50 / p99 | block finality p50 |", "| --- | --: | --: | --: | --: |"]
    for name in names:
        summary = json.loads((folder / name / "summary.json").read_text())
        transactions, blocks = summary["transactions"], summary["blocks"]
        finality, block = summary["finality_ns"], summary["block_finality_ns"]
        lines.append(
            f"| [{name}](bench-configs/{name}.toml) | {transactions['finalized']:,} of {transactions['scheduled']:,} "
            f"| {blocks['finalized']}, {blocks['view_changes']} | {ms(finality['p50'])} / {ms(finality['p99'])} | {ms(block['p50'])} |"
        )
    return lines


def section(folder):
    title = (folder / "README.md").read_text().splitlines()[0].lstrip("# ")
    return [f"[{title}]({folder})", "", *versus(folder), *runs(folder), ""]


def main():
    folders = [pathlib.Path(name) for name in sys.argv[1:]]
    if not folders:
        sys.exit(__doc__)
    readme = pathlib.Path(__file__).resolve().parent.parent / "README.md"
    text = readme.read_text()
    begin, end = "<!-- results: begin -->\n", "<!-- results: end -->"
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    command = " ".join(["scripts/readme_tables.py", *map(str, folders)])
    body = "\n".join([*(line for folder in folders for line in section(folder)), f"Spliced in by `{command}`.", ""])
    readme.write_text(head + begin + body + end + tail)


main()
