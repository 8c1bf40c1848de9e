//! Signer bitmaps: which slots signed. LSB-first: bit `i & 7` of byte `i >> 3` is slot `i`.

use crate::types::Slot;

/// A set of slots of a committee with a known number of slots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SignerBitmap {
    bytes: Vec<u8>,
    slots: u16,
}

/// Why bytes are not a bitmap of this committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitmapError {
    /// Not exactly `ceil(slots / 8)` bytes.
    #[error("signer bitmap has {got} bytes, the committee needs {want}")]
    Length {
        /// Bytes received.
        got: usize,
        /// Bytes needed.
        want: usize,
    },
    /// A bit beyond the last slot.
    #[error("signer bitmap sets bits beyond the last slot")]
    SpareBits,
}

impl SignerBitmap {
    /// No signer.
    pub fn empty(slots: u16) -> Self {
        Self { bytes: vec![0; usize::from(slots).div_ceil(8)], slots }
    }

    /// The slots of an iterator. Slots beyond the committee are a caller's error.
    ///
    /// # Panics
    ///
    /// If a slot is not below `slots`.
    pub fn of(slots: u16, members: impl IntoIterator<Item = Slot>) -> Self {
        let mut bitmap = Self::empty(slots);
        for slot in members {
            bitmap.insert(slot);
        }
        bitmap
    }

    /// The only door for a peer's bytes.
    ///
    /// # Errors
    ///
    /// [`BitmapError`] unless the encoding is the canonical one.
    pub fn from_bytes(bytes: &[u8], slots: u16) -> Result<Self, BitmapError> {
        let want = usize::from(slots).div_ceil(8);
        if bytes.len() != want {
            return Err(BitmapError::Length { got: bytes.len(), want });
        }
        let spare = want * 8 - usize::from(slots);
        if spare > 0 && bytes[want - 1] >> (8 - spare) != 0 {
            return Err(BitmapError::SpareBits);
        }
        Ok(Self { bytes: bytes.to_vec(), slots })
    }

    /// Adds a slot.
    ///
    /// # Panics
    ///
    /// If the slot is beyond the committee.
    pub fn insert(&mut self, slot: Slot) {
        assert!(slot.0 < self.slots, "slot {slot} is beyond the committee of {}", self.slots);
        self.bytes[usize::from(slot.0) >> 3] |= 1 << (slot.0 & 7);
    }

    /// Whether a slot signed.
    pub fn contains(&self, slot: Slot) -> bool {
        slot.0 < self.slots && self.bytes[usize::from(slot.0) >> 3] >> (slot.0 & 7) & 1 == 1
    }

    /// Number of signers.
    pub fn count(&self) -> u64 {
        self.bytes.iter().map(|b| u64::from(b.count_ones())).sum()
    }

    /// Whether no slot is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.bytes.iter().zip(&other.bytes).all(|(a, b)| a & b == 0)
    }

    /// Adds all of `other`, a bitmap of the same committee.
    pub fn union(&mut self, other: &Self) {
        for (a, b) in self.bytes.iter_mut().zip(&other.bytes) {
            *a |= b;
        }
    }

    /// The slots in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.slots).map(Slot).filter(|&slot| self.contains(slot))
    }

    /// The canonical encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_least_significant_first() {
        assert_eq!(SignerBitmap::of(10, [Slot(0), Slot(3), Slot(9)]).as_bytes(), [0b1001, 0b10]);
    }

    #[test]
    fn wrong_lengths_and_spare_bits_are_refused() {
        assert_eq!(SignerBitmap::from_bytes(&[0; 3], 10), Err(BitmapError::Length { got: 3, want: 2 }));
        assert_eq!(SignerBitmap::from_bytes(&[0, 0b100], 10), Err(BitmapError::SpareBits));
        assert_eq!(SignerBitmap::from_bytes(&[255, 0b11], 10).unwrap().count(), 10);
        assert_eq!(SignerBitmap::from_bytes(&[255], 8).unwrap().count(), 8);
    }
}
