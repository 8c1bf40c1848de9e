//! Who signed: one slot of the committee, or a bitmap over it.
//!
//! Bit `i & 7` (least significant first) of byte `i >> 3` stands for slot `i`. A bitmap has exactly
//! `slots.div_ceil(8)` bytes and its spare high bits are zero: one set of signers has one encoding.

use super::Refusal;

/// The signers of one signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signers {
    /// The committee slot of a single signer.
    One(u32),
    /// The marked slots; the signature is checked against the sum of their keys.
    Bitmap(Vec<u8>),
}

impl Signers {
    /// Whether these signers exist in a committee of `slots` keys.
    ///
    /// # Errors
    ///
    /// [`Refusal::BadSigners`] or [`Refusal::Empty`].
    pub fn check(&self, slots: usize) -> Result<(), Refusal> {
        match self {
            Self::One(slot) if (*slot as usize) < slots => Ok(()),
            Self::One(_) => Err(Refusal::BadSigners),
            Self::Bitmap(bitmap) => check_bitmap(bitmap, slots),
        }
    }
}

/// Bytes of a bitmap over `slots`.
pub const fn bitmap_bytes(slots: usize) -> usize {
    slots.div_ceil(8)
}

/// Whether `bitmap` marks at least one of `slots` and nothing else.
///
/// # Errors
///
/// [`Refusal::BadSigners`] for a wrong length or a spare bit, [`Refusal::Empty`] if nothing is marked.
pub fn check_bitmap(bitmap: &[u8], slots: usize) -> Result<(), Refusal> {
    if bitmap.len() != bitmap_bytes(slots) {
        return Err(Refusal::BadSigners);
    }
    let spare = if slots.is_multiple_of(8) { 0 } else { 0xff << (slots % 8) };
    match bitmap.last() {
        Some(last) if last & spare != 0 => Err(Refusal::BadSigners),
        _ if bitmap.iter().all(|&byte| byte == 0) => Err(Refusal::Empty),
        _ => Ok(()),
    }
}

/// Whether `slot` is marked; false beyond the bitmap.
pub fn is_marked(bitmap: &[u8], slot: usize) -> bool {
    bitmap.get(slot / 8).is_some_and(|byte| byte >> (slot % 8) & 1 == 1)
}

/// The bitmap over `slots` that marks the slots for which `marked` holds.
pub fn bitmap_of(slots: usize, marked: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bitmap = vec![0; bitmap_bytes(slots)];
    for slot in (0..slots).filter(|&slot| marked(slot)) {
        bitmap[slot / 8] |= 1 << (slot % 8);
    }
    bitmap
}

/// The keys that a masked sum adds: the marked ones, or if those are more than half the others.
pub(super) struct Mask<'a> {
    bitmap: &'a [u8],
    /// Whether the others are added, so that the sum is that of all keys less this one.
    pub inverted: bool,
    /// How many are added.
    pub terms: usize,
}

impl<'a> Mask<'a> {
    /// The bitmap passed [`check_bitmap`] for `slots`.
    pub fn new(bitmap: &'a [u8], slots: usize) -> Self {
        let marked = bitmap.iter().map(|byte| byte.count_ones() as usize).sum();
        let inverted = 2 * marked > slots;
        Self { bitmap, inverted, terms: if inverted { slots - marked } else { marked } }
    }

    /// Their slots, ascending.
    pub fn slots(&self, slots: usize) -> impl Iterator<Item = usize> {
        (0..slots).filter(|slot| is_marked(self.bitmap, *slot) != self.inverted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_is_accepted_in_exactly_one_encoding() {
        assert_eq!(check_bitmap(&[0b0000_0100], 3), Ok(()));
        assert_eq!(check_bitmap(&[0b0000_1000], 3), Err(Refusal::BadSigners), "spare bit");
        assert_eq!(check_bitmap(&[0b0000_1100], 3), Err(Refusal::BadSigners), "spare bit beside a marked slot");
        assert_eq!(check_bitmap(&[0b0000_0100, 0], 3), Err(Refusal::BadSigners), "too long");
        assert_eq!(check_bitmap(&[], 3), Err(Refusal::BadSigners), "too short");
        assert_eq!(check_bitmap(&[0], 3), Err(Refusal::Empty));
        assert_eq!(check_bitmap(&[], 0), Err(Refusal::Empty));
        assert_eq!(check_bitmap(&[0xff], 8), Ok(()), "no spare bits in a full byte");
        assert_eq!(check_bitmap(&[0xff, 0x01], 9), Ok(()));
        assert_eq!(check_bitmap(&[0xff, 0x02], 9), Err(Refusal::BadSigners));
    }

    #[test]
    fn slots_beyond_the_committee_are_refused() {
        assert_eq!(Signers::One(6).check(7), Ok(()));
        assert_eq!(Signers::One(7).check(7), Err(Refusal::BadSigners));
        assert_eq!(Signers::One(u32::MAX).check(7), Err(Refusal::BadSigners));
    }

    #[test]
    fn bitmaps_are_least_significant_bit_first() {
        let bitmap = bitmap_of(12, |slot| slot == 1 || slot == 11);
        assert_eq!(bitmap, [0b0000_0010, 0b0000_1000]);
        assert!(is_marked(&bitmap, 11) && !is_marked(&bitmap, 10) && !is_marked(&bitmap, 99));
    }
}
