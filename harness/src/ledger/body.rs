//! Block bodies: transactions in order, in one encoding.
//!
//! ```text
//! body = count u32 | { length u32 | transaction }*count          integers little-endian, nothing behind
//! ```
//!
//! A transaction has at least one byte. What the bytes of a transaction mean is the workload's business.

use std::ops::Range;

/// Bytes before the first transaction.
const COUNT_BYTES: usize = 4;

/// Bytes before each transaction.
const LENGTH_BYTES: usize = 4;

/// An encoded body and where its transactions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    bytes: Vec<u8>,
    items: Vec<Range<u32>>,
}

/// Why bytes are no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Longer than a block may be.
    #[error("body of {got} bytes exceeds {most}")]
    TooLong {
        /// Bytes.
        got: usize,
        /// Bytes allowed.
        most: u32,
    },
    /// It ends before the transactions it announces.
    #[error("body ends early")]
    Truncated,
    /// A transaction without bytes.
    #[error("body holds an empty transaction")]
    EmptyTransaction,
    /// Bytes behind the last transaction.
    #[error("body has {0} bytes behind the last transaction")]
    Trailing(usize),
}

impl Body {
    /// A body without transactions.
    pub fn empty() -> Self {
        Self { bytes: vec![0; COUNT_BYTES], items: Vec::new() }
    }

    /// What a transaction of `bytes` bytes adds to a body.
    pub fn cost(bytes: usize) -> usize {
        LENGTH_BYTES + bytes
    }

    /// Adds a transaction if the body then has at most `most` bytes; otherwise leaves the body as it is. Empty
    /// transactions never fit.
    #[must_use]
    pub fn push(&mut self, transaction: &[u8], most: u32) -> bool {
        let end = self.bytes.len() + Self::cost(transaction.len());
        let (Ok(length), Ok(end)) = (u32::try_from(transaction.len()), u32::try_from(end)) else { return false };
        if transaction.is_empty() || end > most {
            return false;
        }
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(transaction);
        self.items.push(end - length..end);
        // Below 2^32: each transaction takes at least five of at most 2^32 bytes.
        let count = self.items.len() as u32;
        self.bytes[..COUNT_BYTES].copy_from_slice(&count.to_le_bytes());
        true
    }

    /// Reads a body of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// [`BodyError`] unless the bytes are the only encoding of some transactions.
    pub fn decode(bytes: Vec<u8>, most: u32) -> Result<Self, BodyError> {
        if u32::try_from(bytes.len()).map_or(true, |length| length > most) {
            return Err(BodyError::TooLong { got: bytes.len(), most });
        }
        let mut at = 0;
        let count = read_u32(&bytes, &mut at)? as usize;
        // Each takes its length and at least one byte, so a count beyond that cannot be met.
        if count > (bytes.len() - at) / (LENGTH_BYTES + 1) {
            return Err(BodyError::Truncated);
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let length = read_u32(&bytes, &mut at)? as usize;
            if length == 0 {
                return Err(BodyError::EmptyTransaction);
            }
            if length > bytes.len() - at {
                return Err(BodyError::Truncated);
            }
            // The body's length is a u32, so every offset is.
            items.push(at as u32..(at + length) as u32);
            at += length;
        }
        match bytes.len() - at {
            0 => Ok(Self { bytes, items }),
            behind => Err(BodyError::Trailing(behind)),
        }
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Transactions.
    pub fn len(&self) -> u32 {
        self.items.len() as u32
    }

    /// Whether there is no transaction.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The transactions in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.items.iter().map(|item| &self.bytes[item.start as usize..item.end as usize])
    }
}

fn read_u32(bytes: &[u8], at: &mut usize) -> Result<u32, BodyError> {
    let (word, _) = bytes[*at..].split_first_chunk::<4>().ok_or(BodyError::Truncated)?;
    *at += 4;
    Ok(u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(transactions: &[Vec<u8>]) -> Body {
        let mut body = Body::empty();
        for transaction in transactions {
            assert!(body.push(transaction, u32::MAX));
        }
        body
    }

    #[test]
    fn the_encoding_is_as_documented() {
        let body = body(&[vec![7], vec![8, 9]]);
        assert_eq!(body.as_bytes(), [2, 0, 0, 0, 1, 0, 0, 0, 7, 2, 0, 0, 0, 8, 9]);
        assert_eq!(Body::empty().as_bytes(), [0; 4]);
        assert_eq!(Body::decode(vec![0; 4], 4), Ok(Body::empty()));
    }

    #[test]
    fn a_transaction_that_does_not_fit_changes_nothing() {
        let mut body = body(&[vec![1; 10]]);
        let before = body.clone();
        assert!(!body.push(&[2; 10], 31));
        assert!(!body.push(&[], u32::MAX));
        assert_eq!(body, before);
        assert!(body.push(&[2; 10], 32));
    }

    #[test]
    fn a_body_over_the_limit_is_refused() {
        let bytes = body(&[vec![1; 10]]).as_bytes().to_vec();
        assert_eq!(bytes.len(), 18);
        assert!(Body::decode(bytes.clone(), 18).is_ok());
        assert_eq!(Body::decode(bytes, 17), Err(BodyError::TooLong { got: 18, most: 17 }));
    }

    #[test]
    fn a_count_that_the_bytes_cannot_meet_is_refused_before_allocation() {
        assert_eq!(Body::decode(vec![0xff; 4], u32::MAX), Err(BodyError::Truncated));
        let mut bytes = vec![0xff; 4];
        bytes.extend_from_slice(&[1, 0, 0, 0, 1]);
        assert_eq!(Body::decode(bytes, u32::MAX), Err(BodyError::Truncated));
    }

    #[test]
    fn empty_transactions_and_trailing_bytes_are_refused() {
        assert_eq!(Body::decode(vec![1, 0, 0, 0, 0, 0, 0, 0, 9], 99), Err(BodyError::EmptyTransaction));
        assert_eq!(Body::decode(vec![1, 0, 0, 0, 1, 0, 0, 0, 9, 9], 99), Err(BodyError::Trailing(1)));
        assert_eq!(Body::decode(vec![], 99), Err(BodyError::Truncated));
    }

    proptest! {
        #[test]
        fn any_transactions_come_back_in_order(transactions: Vec<Vec<u8>>) {
            let transactions: Vec<_> = transactions.into_iter().filter(|t| !t.is_empty()).collect();
            let body = body(&transactions);
            let again = Body::decode(body.as_bytes().to_vec(), u32::MAX).unwrap();
            prop_assert_eq!(&again, &body);
            prop_assert!(again.iter().eq(transactions.iter().map(Vec::as_slice)));
            prop_assert_eq!(again.len() as usize, transactions.len());
        }

        #[test]
        fn whatever_decodes_encodes_to_the_same_bytes(
            count in 0u8..4, bytes in prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => 0u8..5, 1 => any::<u8>()], 0..40)
        ) {
            let mut input = vec![count, 0, 0, 0];
            input.extend(bytes);
            if let Ok(decoded) = Body::decode(input.clone(), u32::MAX) {
                let again = body(&decoded.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
                prop_assert_eq!(again.as_bytes(), &input[..]);
            }
        }

        #[test]
        fn truncated_flipped_and_lengthened_bodies_never_panic(
            transactions in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..6),
            cut: prop::sample::Index, flip: prop::sample::Index, bit in 0u8..8, tail in 1usize..9,
        ) {
            let bytes = body(&transactions).as_bytes().to_vec();
            prop_assert!(Body::decode(bytes[..cut.index(bytes.len())].to_vec(), u32::MAX).is_err());
            let mut longer = bytes.clone();
            longer.resize(bytes.len() + tail, 0);
            prop_assert!(Body::decode(longer, u32::MAX).is_err());
            let mut flipped = bytes.clone();
            flipped[flip.index(bytes.len())] ^= 1 << bit;
            if let Ok(decoded) = Body::decode(flipped.clone(), u32::MAX) {
                prop_assert_eq!(decoded.as_bytes(), &flipped[..]);
            }
        }
    }
}
