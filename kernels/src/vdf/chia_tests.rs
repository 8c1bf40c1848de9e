//! Chia's formats against chiavdf's published and generated values, and against hostile bytes.

use serde::Deserialize;

use super::*;
use crate::vdf::{DiscriminantValue, Part, Refusal, Scheme, verify_from, verify_with, wire};

#[derive(Deserialize)]
struct Row {
    challenge: String,
    bits: u32,
    discriminant: String,
    iters: u64,
    y: String,
    proof: String,
}

fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("../../vectors/vdf/chiavdf-wesolowski.json")).unwrap()
}

#[test]
fn discriminants_forms_and_challenges_are_chiavdfs() {
    let rows = rows();
    assert_eq!(rows.len(), 12);
    for row in rows {
        let value = DiscriminantValue::from_challenge(row.bits, &hex::decode(&row.challenge).unwrap()).unwrap();
        assert_eq!(format!("-0x{}", hex::encode(value.to_bytes())), row.discriminant);
        let group = value.group();
        let (y, proof) = (hex::decode(&row.y).unwrap(), hex::decode(&row.proof).unwrap());
        for bytes in [&y, &proof] {
            let form = decode(&group, row.bits, bytes).unwrap();
            assert_eq!(encode(&form, row.bits).unwrap(), *bytes);
        }
        assert_eq!(verify_with(Scheme::Chia264, &value, row.iters, &[y, proof].concat()), Ok(()));
    }
}

/// A group and powers of its generator, encoded.
fn powers(bits: u32) -> (Group, Vec<Vec<u8>>) {
    let group = DiscriminantValue::from_challenge(bits, &[9; 32]).unwrap().group();
    let mut form = group.square_times(&group.generator(), u64::from(bits));
    let forms = (0..200).map(|_| {
        form = group.square(&form);
        encode(&form, bits).unwrap()
    });
    let forms = forms.collect();
    (group, forms)
}

#[test]
fn common_factors_and_both_signs_occur_and_come_back() {
    let (group, forms) = powers(256);
    for bytes in &forms {
        assert_eq!(encode(&decode(&group, 256, bytes).unwrap(), 256).as_ref(), Some(bytes));
    }
    assert!(
        forms.iter().any(|bytes| bytes[0] & NEGATIVE_B != 0) && forms.iter().any(|bytes| bytes[0] & NEGATIVE_T != 0)
    );
    // g above 1 in some, and so a b0.
    assert!(forms.iter().any(|bytes| bytes[2 + 24] > 1), "a common factor");
}

#[test]
fn changed_bytes_never_decode_to_the_same_form_and_never_panic() {
    for bits in [256, 264] {
        let (group, forms) = powers(bits);
        for bytes in forms.iter().take(8) {
            let form = decode(&group, bits, bytes).unwrap();
            for bit in 0..8 * FORM_BYTES {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                // Another valid form can come out (a sign of b), never this one twice.
                assert_ne!(decode(&group, bits, &changed), Ok(form.clone()), "bit {bit}");
            }
        }
    }
}

#[test]
fn inflated_and_degenerate_encodings_are_refused() {
    let (group, forms) = powers(256);
    let refused = |bytes: &[u8]| assert!(decode(&group, 256, bytes).is_err(), "{}", hex::encode(bytes));
    // A larger b0, what chiavdf took before its pull request 335: |b| is beyond a. A smaller one can give another form.
    for bytes in &forms {
        let (b0, form) = (2 + 24 + 1, decode(&group, 256, bytes).unwrap());
        for value in (0..=255).filter(|value| *value != bytes[b0]) {
            let mut changed = bytes.clone();
            changed[b0] = value;
            if value >= bytes[b0 - 1] {
                refused(&changed);
            }
            assert_ne!(decode(&group, 256, &changed), Ok(form.clone()));
        }
    }
    for first in 0..=255u8 {
        for fill in [0, 1, 0xff] {
            let mut bytes = vec![fill; FORM_BYTES];
            bytes[0] = first;
            if fill != 0 || !matches!(first, IDENTITY | GENERATOR) {
                refused(&bytes);
            }
            // No length of g but those below a t'.
            bytes[1] = first;
            bytes[0] = 0;
            refused(&bytes);
        }
    }
    for len in [0, 1, 2, 99, 101] {
        refused(&vec![0; len]);
        refused(&vec![1; len]);
    }
    assert_eq!(decode(&group, 256, &encode(&group.identity(), 256).unwrap()), Ok(group.identity()));
}

/// A published n-Wesolowski proof.
struct Published {
    value: DiscriminantValue,
    input: Vec<u8>,
    iterations: u64,
    depth: usize,
    bytes: Vec<u8>,
}

fn published() -> Vec<Published> {
    let text = include_str!("../../vectors/vdf/chiavdf-nwesolowski.txt");
    let lines: Vec<&str> = text.lines().collect();
    let block = |block: &[&str]| {
        let bytes = |line: usize| hex::decode(block[line]).unwrap();
        let value = DiscriminantValue::from_challenge(block[1].parse().unwrap(), &bytes(0)).unwrap();
        let (iterations, depth) = (block[4].parse().unwrap(), block[5].parse().unwrap());
        Published { value, input: bytes(2), iterations, depth, bytes: bytes(3) }
    };
    lines.chunks_exact(6).map(block).collect()
}

#[test]
fn published_proofs_of_one_and_several_segments_verify() {
    let mut depths = vec![];
    let rows = published();
    for Published { value, input, iterations, depth, bytes } in &rows {
        let verdict = |iterations, bytes: &[u8]| verify_from(Scheme::Chia264, value, input, iterations, bytes);
        assert_eq!(verdict(*iterations, bytes), Ok(()));
        let from_generator = verify_with(Scheme::Chia264, value, *iterations, bytes);
        assert_eq!(from_generator.is_ok(), input[0] == GENERATOR);
        depths.push(*depth);
        if *depth == 0 {
            continue;
        }
        assert_eq!(verdict(iterations + 1, bytes), Err(Refusal::WrongProof));
        // Swapped segments, and fewer of them.
        let mut swapped = bytes.clone();
        let last = bytes.len() - 141;
        swapped.copy_within(last - 141..last, last);
        swapped[last - 141..last].copy_from_slice(&bytes[last..]);
        assert_eq!(verdict(*iterations, &swapped), Err(Refusal::WrongSegment(0)));
        assert!(verdict(*iterations, &bytes[..last]).is_err());
        assert_eq!(verdict(1, bytes), Err(Refusal::SegmentIterations(0)));
        // Another split of the same iterations.
        let mut moved = bytes.clone();
        moved[last + 7] ^= 1;
        assert_eq!(verdict(*iterations, &moved), Err(Refusal::WrongSegment(0)));
        let mut even = bytes.clone();
        even[last + 40] ^= 1;
        assert_eq!(verdict(*iterations, &even), Err(Refusal::WrongSegment(0)));
        let mut bad = bytes.clone();
        bad[last + 41] = 0xf0;
        assert!(matches!(verdict(*iterations, &bad), Err(Refusal::Form { part: Part::Segment(0), .. })));
        assert_eq!(wire::segments(&bytes[200..]).count(), *depth);
    }
    depths.sort_unstable();
    depths.dedup();
    assert_eq!((rows.len(), depths), (60, vec![0, 2, 4, 6]));
    // Some continue from an earlier output.
    assert_eq!(rows.iter().filter(|row| row.input[0] != GENERATOR).count(), 11);
}
