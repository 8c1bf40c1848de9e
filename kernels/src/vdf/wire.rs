//! What goes over the wire: forms, and results of `y`, proof and, in Chia's format, earlier segments.
//!
//! Harmony's form is `a` then `b`, each a signed big-endian integer of fixed length; Chia's is compressed (`chia.rs`).
//! Decoding accepts only what encoding produces. A form has one encoding, a class has one reduced form, so no two
//! accepted byte strings mean the same; and every check that needs no group arithmetic comes before any.
//!
//! Sources of the formats: harmony-one/vdf `src/vdf_go/classgroup.go` (`Serialize`), poanetwork/vdf `classgroup`;
//! Chia-Network/chiavdf `src/verifier.h` for results of several segments.

use super::form::{Form, Group};
use super::integer::Int;
use super::{FormDefect, Part, Refusal, Scheme, chia};

/// Segments before the last one that a result of Chia's format may have; its network's have at most 63.
const MAX_SEGMENTS: usize = 63;
/// Bytes of one such segment: iterations, challenge, proof.
const SEGMENT_BYTES: usize = 8 + chia::CHALLENGE_BYTES + chia::FORM_BYTES;

/// Bytes of one coefficient in Harmony's format: half of the discriminant's bits, a sign bit, rounded up. 129 at 2048 bits.
fn coefficient_bytes(discriminant_bits: u32) -> usize {
    (discriminant_bits as usize + 16) >> 4
}

/// Bytes of one form: 258 at 2048 bits, or Chia's 100.
pub(super) fn form_bytes(scheme: Scheme, discriminant_bits: u32) -> usize {
    match scheme {
        Scheme::Harmony128 | Scheme::Bound264 => 2 * coefficient_bytes(discriminant_bits),
        Scheme::Chia264 => chia::FORM_BYTES,
    }
}

/// Bytes of `y` and proof: 516 at 2048 bits, or Chia's 200.
pub(super) fn proof_bytes(scheme: Scheme, discriminant_bits: u32) -> usize {
    2 * form_bytes(scheme, discriminant_bits)
}

/// # Errors
///
/// [`Refusal::Length`], with the longest allowed length that is not above `got`, or else the shortest.
pub(super) fn check_length(scheme: Scheme, discriminant_bits: u32, got: usize) -> Result<(), Refusal> {
    let shortest = proof_bytes(scheme, discriminant_bits);
    let segments = match scheme {
        Scheme::Harmony128 | Scheme::Bound264 => 0,
        Scheme::Chia264 => (got.saturating_sub(shortest) / SEGMENT_BYTES).min(MAX_SEGMENTS),
    };
    let want = shortest + segments * SEGMENT_BYTES;
    if got == want { Ok(()) } else { Err(Refusal::Length { got, want }) }
}

/// The bytes of a form; `None` if they do not fit, which happens for no reduced form.
pub(super) fn encode(scheme: Scheme, form: &Form, discriminant_bits: u32) -> Option<Vec<u8>> {
    if scheme == Scheme::Chia264 {
        return chia::encode(form, discriminant_bits);
    }
    let len = coefficient_bytes(discriminant_bits);
    let mut bytes = form.a.to_signed_be_bytes(len)?;
    bytes.extend(form.b.to_signed_be_bytes(len)?);
    Some(bytes)
}

/// One part of a result, a reduced form of the group.
///
/// # Errors
///
/// The first rule that the bytes break.
pub(super) fn decode(
    scheme: Scheme,
    group: &Group,
    discriminant_bits: u32,
    part: Part,
    bytes: &[u8],
) -> Result<Form, Refusal> {
    let want = form_bytes(scheme, discriminant_bits);
    if bytes.len() != want {
        return Err(Refusal::Length { got: bytes.len(), want });
    }
    let form = match scheme {
        Scheme::Harmony128 | Scheme::Bound264 => {
            let (a, b) = bytes.split_at(bytes.len() / 2);
            member(group, Int::from_signed_be_bytes(a), Int::from_signed_be_bytes(b))
        }
        Scheme::Chia264 => chia::decode(group, discriminant_bits, bytes),
    };
    form.map_err(|defect| Refusal::Form { part, defect })
}

/// A step from one output to the next, on the way to the last: all but the last segment of an n-Wesolowski proof.
pub(super) struct Segment<'a> {
    pub iterations: u64,
    /// The challenge prime, big-endian.
    pub challenge: &'a [u8],
    pub proof: &'a [u8],
}

/// The segments after `y` and proof, in the order in which they follow one another: the reverse of that in the bytes.
pub(super) fn segments(bytes: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    bytes.rchunks_exact(SEGMENT_BYTES).filter_map(|segment| {
        let (iterations, rest) = segment.split_first_chunk()?;
        let (challenge, proof) = rest.split_at(chia::CHALLENGE_BYTES);
        Some(Segment { iterations: u64::from_be_bytes(*iterations), challenge, proof })
    })
}

/// The reduced form of the group with these coefficients.
///
/// # Errors
///
/// The first rule that they break.
pub(super) fn member(group: &Group, a: Int, b: Int) -> Result<Form, FormDefect> {
    if a.is_negative() || a.is_zero() {
        return Err(FormDefect::NotPositive);
    }
    if !b.is_odd() {
        return Err(FormDefect::EvenMiddle);
    }
    if b.compare_magnitude(&a).is_gt() {
        return Err(FormDefect::NotReduced);
    }
    let form = group.form(a, b).ok_or(FormDefect::OtherDiscriminant)?;
    if form.a > form.c {
        return Err(FormDefect::NotReduced);
    }
    if form.b.is_negative() && (form.b.compare_magnitude(&form.a).is_eq() || form.a == form.c) {
        return Err(FormDefect::WrongSign);
    }
    Ok(form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vdf::DiscriminantValue;

    const HARMONY: Scheme = Scheme::Harmony128;

    #[test]
    fn a_form_is_129_bytes_a_coefficient_at_2048_bits_and_100_bytes_in_chias_format() {
        assert_eq!((coefficient_bytes(2048), form_bytes(HARMONY, 2048), proof_bytes(HARMONY, 2048)), (129, 258, 516));
        assert_eq!((coefficient_bytes(256), coefficient_bytes(264)), (17, 17));
        assert_eq!((form_bytes(Scheme::Chia264, 1024), proof_bytes(Scheme::Chia264, 256)), (100, 200));
    }

    #[test]
    fn lengths_are_exact_and_bounded() {
        let check = |scheme, got| check_length(scheme, 1024, got);
        assert_eq!(check(HARMONY, 260), Ok(()));
        assert_eq!(check(HARMONY, 261), Err(Refusal::Length { got: 261, want: 260 }));
        for depth in 0..=MAX_SEGMENTS {
            assert_eq!(check(Scheme::Chia264, 200 + 141 * depth), Ok(()));
        }
        for (got, want) in [(0, 200), (199, 200), (201, 200), (340, 200), (342, 341), (200 + 141 * 64, 200 + 141 * 63)]
        {
            assert_eq!(check(Scheme::Chia264, got), Err(Refusal::Length { got, want }));
        }
        assert!(check(Scheme::Chia264, usize::MAX).is_err());
    }

    #[test]
    fn every_reduced_form_fits_and_comes_back() {
        for scheme in Scheme::ALL {
            for bits in [256, 264, 512] {
                let group = scheme.discriminant(bits, &[1; 32]).unwrap().group();
                let mut form = group.identity();
                for step in 0..300 {
                    let bytes = encode(scheme, &form, bits).unwrap();
                    assert_eq!(bytes.len(), form_bytes(scheme, bits));
                    assert_eq!(decode(scheme, &group, bits, Part::Proof, &bytes), Ok(form.clone()));
                    form = if step == 0 { group.generator() } else { group.square(&form) };
                }
            }
        }
    }

    #[test]
    fn a_form_of_another_discriminant_is_refused() {
        let group = |seed| DiscriminantValue::from_seed(256, &[seed; 32]).unwrap().group();
        let (ours, other) = (group(1), group(2));
        let bytes = encode(HARMONY, &other.power(&other.generator(), &Int::power_of_two(300)), 256).unwrap();
        let refusal = Refusal::Form { part: Part::Proof, defect: FormDefect::OtherDiscriminant };
        assert_eq!(decode(HARMONY, &ours, 256, Part::Proof, &bytes), Err(refusal));
    }

    #[test]
    fn of_the_two_reduced_looking_forms_with_equal_outer_coefficients_one_is_accepted() {
        // a = c: 4a² - b² = |D| = (2a - b)(2a + b), so such forms exist for composite |D| only; -15 = (2, ±1, 2).
        let group = Group::new(-Int::from(15));
        let form = |b: i64| member(&group, Int::from(2), if b < 0 { -Int::from(1) } else { Int::from(1) });
        assert_eq!(form(1), Ok(group.generator()));
        assert_eq!(form(-1), Err(FormDefect::WrongSign));
    }

    #[test]
    fn segments_come_last_first() {
        let mut bytes = vec![0; 2 * SEGMENT_BYTES];
        (bytes[7], bytes[SEGMENT_BYTES + 7]) = (1, 2);
        (bytes[8], bytes[SEGMENT_BYTES + 41]) = (3, 4);
        let [first, second] = segments(&bytes).collect::<Vec<_>>().try_into().ok().unwrap();
        assert_eq!((first.iterations, second.iterations), (2, 1));
        assert_eq!((first.proof[0], second.challenge[0], second.challenge.len(), second.proof.len()), (4, 3, 33, 100));
    }
}
