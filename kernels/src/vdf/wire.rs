//! Harmony's wire format: `y` then `proof`, each `a` then `b`, each a signed big-endian integer of fixed length.
//!
//! Decoding accepts only what encoding produces. A form has one encoding, a class has one reduced form, so no two
//! accepted byte strings mean the same; and every check that needs no group arithmetic comes before any.
//!
//! Source of the format: harmony-one/vdf `src/vdf_go/classgroup.go` (`Serialize`), poanetwork/vdf `classgroup`.

use super::form::{Form, Group};
use super::integer::Int;
use super::{FormDefect, Part, Refusal};

/// Bytes of one coefficient: half of the discriminant's bits, a sign bit, rounded up. 129 at 2048 bits.
pub(super) fn coefficient_bytes(discriminant_bits: u32) -> usize {
    (discriminant_bits as usize + 16) >> 4
}

/// Bytes of one form: 258 at 2048 bits.
pub(super) fn form_bytes(discriminant_bits: u32) -> usize {
    2 * coefficient_bytes(discriminant_bits)
}

/// Bytes of `y` and proof: 516 at 2048 bits.
pub(super) fn proof_bytes(discriminant_bits: u32) -> usize {
    2 * form_bytes(discriminant_bits)
}

/// `a` then `b`; `None` if they do not fit, which happens for no reduced form.
pub(super) fn encode(form: &Form, discriminant_bits: u32) -> Option<Vec<u8>> {
    let len = coefficient_bytes(discriminant_bits);
    let mut bytes = form.a.to_signed_be_bytes(len)?;
    bytes.extend(form.b.to_signed_be_bytes(len)?);
    Some(bytes)
}

/// `y` and `proof`, both reduced forms of the group.
///
/// # Errors
///
/// The first rule that the bytes break.
pub(super) fn decode(group: &Group, discriminant_bits: u32, bytes: &[u8]) -> Result<(Form, Form), Refusal> {
    let want = proof_bytes(discriminant_bits);
    if bytes.len() != want {
        return Err(Refusal::Length { got: bytes.len(), want });
    }
    let (y, proof) = bytes.split_at(form_bytes(discriminant_bits));
    let part = |part, bytes| decode_form(group, bytes).map_err(|defect| Refusal::Form { part, defect });
    Ok((part(Part::Output, y)?, part(Part::Proof, proof)?))
}

fn decode_form(group: &Group, bytes: &[u8]) -> Result<Form, FormDefect> {
    let (a, b) = bytes.split_at(bytes.len() / 2);
    let (a, b) = (Int::from_signed_be_bytes(a), Int::from_signed_be_bytes(b));
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

    #[test]
    fn a_form_is_129_bytes_a_coefficient_at_2048_bits() {
        assert_eq!((coefficient_bytes(2048), form_bytes(2048), proof_bytes(2048)), (129, 258, 516));
        assert_eq!((coefficient_bytes(256), coefficient_bytes(264)), (17, 17));
    }

    #[test]
    fn every_reduced_form_fits_and_comes_back() {
        for bits in [256, 264, 512] {
            let group = DiscriminantValue::from_seed(bits, &[1; 32]).unwrap().group();
            let mut form = group.generator();
            for _ in 0..300 {
                form = group.square(&form);
                let bytes = encode(&form, bits).unwrap();
                assert_eq!(bytes.len(), form_bytes(bits));
                assert_eq!(decode(&group, bits, &[&bytes[..], &bytes[..]].concat()), Ok((form.clone(), form.clone())));
            }
        }
    }

    #[test]
    fn a_form_of_another_discriminant_is_refused() {
        let group = |seed| DiscriminantValue::from_seed(256, &[seed; 32]).unwrap().group();
        let (ours, other) = (group(1), group(2));
        let power = |group: &Group| encode(&group.power(&group.generator(), &Int::power_of_two(300)), 256).unwrap();
        let bytes = [power(&ours), power(&other)].concat();
        let refusal = Refusal::Form { part: Part::Proof, defect: FormDefect::OtherDiscriminant };
        assert_eq!(decode(&ours, 256, &bytes), Err(refusal));
    }

    #[test]
    fn of_the_two_reduced_looking_forms_with_equal_outer_coefficients_one_is_accepted() {
        // a = c: 4a² - b² = |D| = (2a - b)(2a + b), so such forms exist for composite |D| only; -15 = (2, ±1, 2).
        let group = Group::new(-Int::from(15));
        let form = |b: &[u8]| decode_form(&group, &[&[0, 2], b].concat());
        assert_eq!(form(&[0, 1]), Ok(group.generator()));
        assert_eq!(form(&[0xff, 0xff]), Err(FormDefect::WrongSign));
    }
}
