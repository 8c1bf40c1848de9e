#!/usr/bin/env python3
"""Splices the tables of committed results into README.md, between its markers.

Usage: scripts/readme_tables.py FOLDER      needs: Python 3.8; FOLDER is one of reports/, with versus.jsonl and bundles
"""
import json
import pathlib
import sys

ROWS = [  # kernel, case, words in the peer's name
    ("bls/verify-batch", "sets=128 messages=128", "verify_multiple"),
    ("bls/verify-batch", "sets=250 messages=1", "verify_multiple"),
    ("bls/verify-batch", "sets=250 messages=1", "one by one"),
    ("bls/verify-batch", "sets=250 messages=1", "commonware"),
    ("secp256k1/recover", "batch=1000", "libsecp256k1"),
]
RUNS = ["local-4", "local-16", "local-250", "opaque-4"]


def ms(ns):
    return "unknown" if ns is None else f"{ns / 1e6:,.0f} ms"


def versus(folder):
    rows = [json.loads(line) for line in (folder / "versus.jsonl").read_text().splitlines()]
    lines = ["| kernel | case | against | ours / peer, an item | ratio [p10, p90] |", "| --- | --- | --- | --: | --: |"]
    for kernel, case, words in ROWS:
        for row in rows:
            if row["kernel"] == kernel and row["case"].startswith(case) and words in row["peer"]:
                times = f"{row['ours_ns'] / 1e3:,.1f} / {row['peer_ns'] / 1e3:,.1f} µs"
                ratio = f"{row['ratio']:.2f}x [{row['ratio_p10']:.2f}, {row['ratio_p90']:.2f}]"
                lines.append(f"| `{kernel}` | {row['case']} | {row['peer']} | {times} | {ratio} |")
                break
        else:
            sys.exit(f"error: {folder / 'versus.jsonl'} has no row {kernel} {case} against {words}")
    return lines


def runs(folder):
    lines = ["| run | transactions final | blocks, view changes | finality p50 / p99 | block finality p50 |", "| --- | --: | --: | --: | --: |"]
    for name in RUNS:
        summary = json.loads((folder / name / "summary.json").read_text())
        transactions, blocks = summary["transactions"], summary["blocks"]
        finality, block = summary["finality_ns"], summary["block_finality_ns"]
        lines.append(
            f"| [{name}](bench-configs/{name}.toml) | {transactions['finalized']:,} of {transactions['scheduled']:,} "
            f"| {blocks['finalized']}, {blocks['view_changes']} | {ms(finality['p50'])} / {ms(finality['p99'])} | {ms(block['p50'])} |"
        )
    return lines


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    readme = pathlib.Path(__file__).resolve().parent.parent / "README.md"
    text = readme.read_text()
    begin, end = "<!-- results: begin -->\n", "<!-- results: end -->"
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    command = f"scripts/readme_tables.py {folder}"
    body = "\n".join([*versus(folder), "", *runs(folder), "", f"From [{folder}]({folder}), spliced in by `{command}`.", ""])
    readme.write_text(head + begin + body + end + tail)


main()
