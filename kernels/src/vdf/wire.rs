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
