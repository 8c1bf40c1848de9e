//! Signed transfers: Harmony's legacy transaction, which is Ethereum's with the two shards in it.
//!
//! ```text
//! transaction  = RLP [nonce, gas_price, gas_limit, shard_id, to_shard_id, to, value, data, v, r, s]
//! id           = keccak256(transaction)
//! signing hash = keccak256(transaction with v = chain, r = s = 0)              EIP-155
//! v            = 35 + 2 chain + parity of R's y
//! ```
//!
//! Sources: harmony-one/harmony core/types/transaction.go and transaction_signing.go; EIP-155; EIP-2 (low s). Each
//! transaction has one encoding: integers without leading zeros, nothing before, between or behind the fields.

use alloy_primitives::{Address, Bytes, U256, keccak256, uint};
use alloy_rlp::{Encodable, RlpDecodable, RlpEncodable};
use shardmark_kernels::secp256k1::{SecretKey, SignedDigest, sign_recoverable};

use crate::ledger::{Invalid, TxId};
use crate::types::{ChainId, Hash, ShardId};

/// Gas of a transfer without data: what is paid for, whatever the limit says.
pub const TRANSFER_GAS: u64 = 21_000;

/// Longest encoding of a transfer: 9 + 33 + 9 + 5 + 5 + 21 + 33 + 1 + 9 + 33 + 33 bytes behind a 2-byte list header.
pub const MAX_TRANSFER_BYTES: usize = 193;

/// Half of the order of secp256k1, rounded down: the largest s that is not refused (EIP-2).
const HALF_ORDER: U256 = uint!(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0_U256);

/// The order of secp256k1.
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

/// The chain and shard that a transaction must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The network.
    pub chain: ChainId,
    /// The shard; sender and receiver are both on it.
    pub shard: ShardId,
}

impl Domain {
    /// Refuses chain ids whose v does not fit in 64 bits.
    ///
    /// # Errors
    ///
    /// The largest chain id.
    pub fn new(chain: ChainId, shard: ShardId) -> Result<Self, String> {
        let most = (u64::MAX - 36) / 2;
        if chain.0 > most {
            return Err(format!("chain id {chain} is above {most}, the largest that fits in a signature's v"));
        }
        Ok(Self { chain, shard })
    }

    /// v of a signature with even R.
    fn v(self) -> u64 {
        35 + 2 * self.chain.0
    }
}

/// What a transfer says, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Transactions that the sender sent before.
    pub nonce: u64,
    /// Price of one unit of gas.
    pub gas_price: U256,
    /// Most gas the sender pays for; at least [`TRANSFER_GAS`].
    pub gas_limit: u64,
    /// The receiver.
    pub to: Address,
    /// The amount.
    pub value: U256,
}

/// A recoverable signature with low s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferSignature {
    /// Whether the y coordinate of R is odd.
    pub odd: bool,
    /// x coordinate of R, modulo the order.
    pub r: U256,
    /// The proof part.
    pub s: U256,
}

/// A transfer with a signature of the right form; who signed is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedTransfer {
    /// What it says.
    pub transfer: Transfer,
    /// The signature.
    pub signature: TransferSignature,
}

/// All fields in their order on the wire.
#[derive(RlpEncodable, RlpDecodable)]
struct Wire {
    nonce: u64,
    gas_price: U256,
    gas_limit: u64,
    shard_id: u32,
    to_shard_id: u32,
    to: Address,
    value: U256,
    data: Bytes,
    v: u64,
    r: U256,
    s: U256,
}

impl Transfer {
    fn wire(&self, domain: Domain, v: u64, r: U256, s: U256) -> Wire {
        let &Self { nonce, gas_price, gas_limit, to, value } = self;
        let shard = domain.shard.0;
        Wire {
            nonce,
            gas_price,
            gas_limit,
            shard_id: shard,
            to_shard_id: shard,
            to,
            value,
            data: Bytes::new(),
            v,
            r,
            s,
        }
    }

    /// What the sender signs.
    pub fn signing_hash(&self, domain: Domain) -> [u8; 32] {
        keccak256(encode(&self.wire(domain, domain.chain.0, U256::ZERO, U256::ZERO))).0
    }

    /// Signs it for a chain and shard.
    pub fn sign(&self, domain: Domain, key: &SecretKey) -> SignedTransfer {
        let signed = sign_recoverable(key, &self.signing_hash(domain));
        let (r, s) = (U256::from_be_bytes(signed.r), U256::from_be_bytes(signed.s));
        SignedTransfer { transfer: *self, signature: TransferSignature { odd: signed.y_parity == 1, r, s } }
    }

    /// The price of a transfer's gas; `None` beyond 256 bits.
    pub fn fee(&self) -> Option<U256> {
        self.gas_price.checked_mul(U256::from(TRANSFER_GAS))
    }

    /// What the sender must own: value and all the gas it offers; `None` beyond 256 bits.
    pub fn cost_limit(&self) -> Option<U256> {
        self.gas_price.checked_mul(U256::from(self.gas_limit))?.checked_add(self.value)
    }
}

impl SignedTransfer {
    /// The only encoding.
    pub fn encode(&self, domain: Domain) -> Vec<u8> {
        let TransferSignature { odd, r, s } = self.signature;
        encode(&self.transfer.wire(domain, domain.v() + u64::from(odd), r, s))
    }

    /// What the sender is recovered from.
    pub fn signed_digest(&self, domain: Domain) -> SignedDigest {
        let TransferSignature { odd, r, s } = self.signature;
        let digest = self.transfer.signing_hash(domain);
        SignedDigest { digest, r: r.to_be_bytes(), s: s.to_be_bytes(), y_parity: u8::from(odd) }
    }

    /// Reads a transfer on this chain and shard.
    ///
    /// # Errors
    ///
    /// [`Invalid`]: not the canonical encoding of these fields; another chain or shard; a cross-shard transfer; data;
    /// a gas limit below [`TRANSFER_GAS`]; r or s out of range.
    pub fn decode(bytes: &[u8], domain: Domain) -> Result<Self, Invalid> {
        if bytes.len() > MAX_TRANSFER_BYTES {
            return Err(Invalid::Length { got: bytes.len(), most: MAX_TRANSFER_BYTES });
        }
        let wire: Wire = alloy_rlp::decode_exact(bytes).map_err(Invalid::Encoding)?;
        let Wire { nonce, gas_price, gas_limit, shard_id, to_shard_id, to, value, data, v, r, s } = wire;
        if shard_id != domain.shard.0 {
            return Err(Invalid::Shard { got: ShardId(shard_id), want: domain.shard });
        }
        if to_shard_id != domain.shard.0 {
            return Err(Invalid::CrossShard { to: ShardId(to_shard_id) });
        }
        if !data.is_empty() {
            return Err(Invalid::Data);
        }
        if gas_limit < TRANSFER_GAS {
            return Err(Invalid::GasLimit { got: gas_limit });
        }
        let odd = match v.checked_sub(domain.v()) {
            Some(0) => false,
            Some(1) => true,
            _ => return Err(Invalid::Chain { want: domain.chain }),
        };
        if r.is_zero() || r >= ORDER || s.is_zero() || s > HALF_ORDER {
            return Err(Invalid::SignatureRange);
        }
        let transfer = Transfer { nonce, gas_price, gas_limit, to, value };
        Ok(Self { transfer, signature: TransferSignature { odd, r, s } })
    }
}

/// The identity of an encoded transfer, signature included.
pub fn transfer_id(bytes: &[u8]) -> TxId {
    Hash(keccak256(bytes).0)
}

fn encode(wire: &Wire) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(wire.length());
    wire.encode(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shardmark_kernels::backend::{BackendId, Options};
    use shardmark_kernels::secp256k1::address;

    use super::*;
    use crate::ledger::senders::{Senders, Signed};

    const DOMAIN: Domain = Domain { chain: ChainId(2), shard: ShardId(1) };

    fn transfer() -> Transfer {
        let (gas_price, value) = (U256::from(30_000_000_000u64), U256::from(1_000_000_000_000_000_000u64));
        Transfer { nonce: 9, gas_price, gas_limit: 21_000, to: Address::repeat_byte(0x35), value }
    }

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[0x46; 32]).unwrap()
    }

    fn wire() -> Wire {
        let TransferSignature { odd, r, s } = transfer().sign(DOMAIN, &key()).signature;
        transfer().wire(DOMAIN, DOMAIN.v() + u64::from(odd), r, s)
    }

    fn decode(wire: &Wire) -> Result<SignedTransfer, Invalid> {
        SignedTransfer::decode(&encode(wire), DOMAIN)
    }

    #[test]
    fn the_unsigned_fields_are_laid_out_as_harmony_does() {
        // Written by hand: nonce 9, 30 gwei, 21000, shards 1 and 1, to, 10^18, no data, chain 2, 0, 0.
        let by_hand = "f3098506fc23ac008252080101943535353535353535353535353535353535353535880de0b6b3a764000080028080";
        let unsigned = encode(&transfer().wire(DOMAIN, 2, U256::ZERO, U256::ZERO));
        // The list header counts what follows it.
        let fields = hex::decode(&by_hand[2..]).unwrap();
        assert_eq!(unsigned, [vec![0xc0 + fields.len() as u8], fields.clone()].concat());
        assert_eq!(transfer().signing_hash(DOMAIN), keccak256(&unsigned).0);
    }

    #[test]
    fn a_signed_transfer_comes_back_with_its_sender() {
        let signed = transfer().sign(DOMAIN, &key());
        let bytes = signed.encode(DOMAIN);
        assert_eq!(SignedTransfer::decode(&bytes, DOMAIN), Ok(signed));
        let senders = Senders::open(BackendId::Cpu, &Options::default(), 0).unwrap();
        let item = Signed { id: transfer_id(&bytes), signature: signed.signed_digest(DOMAIN) };
        // The address of the key 0x46..46, as in the example of EIP-155.
        let from = Address::from(alloy_primitives::hex!("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"));
        assert_eq!(Address::from(address(&key())), from);
        assert_eq!(senders.recover(&[item], &mut 0), Ok(vec![Some(from)]));
    }

    #[test]
    fn the_longest_transfer_is_as_long_as_documented() {
        let domain = Domain::new(ChainId((u64::MAX - 36) / 2), ShardId(u32::MAX)).unwrap();
        let transfer = Transfer {
            nonce: u64::MAX,
            gas_price: U256::MAX,
            gas_limit: u64::MAX,
            to: Address::ZERO,
            value: U256::MAX,
        };
        let signature = TransferSignature { odd: true, r: ORDER - U256::from(1), s: HALF_ORDER };
        let bytes = SignedTransfer { transfer, signature }.encode(domain);
        assert_eq!(bytes.len(), MAX_TRANSFER_BYTES);
        assert!(SignedTransfer::decode(&bytes, domain).is_ok());
    }

    #[test]
    fn chain_ids_beyond_v_are_refused() {
        assert!(Domain::new(ChainId(u64::MAX / 2), ShardId(0)).is_err());
    }

    #[test]
    fn another_chain_or_shard_is_refused() {
        assert_eq!(decode(&Wire { v: 37, ..wire() }), Err(Invalid::Chain { want: ChainId(2) }));
        assert_eq!(decode(&Wire { v: 41, ..wire() }), Err(Invalid::Chain { want: ChainId(2) }));
        assert_eq!(decode(&Wire { v: 27, ..wire() }), Err(Invalid::Chain { want: ChainId(2) }));
        assert_eq!(decode(&Wire { shard_id: 0, ..wire() }), Err(Invalid::Shard { got: ShardId(0), want: ShardId(1) }));
    }

    #[test]
    fn a_cross_shard_transfer_is_refused_as_such() {
        assert_eq!(decode(&Wire { to_shard_id: 3, ..wire() }), Err(Invalid::CrossShard { to: ShardId(3) }));
    }

    #[test]
    fn data_and_too_little_gas_are_refused() {
        assert_eq!(decode(&Wire { data: Bytes::from_static(&[1]), ..wire() }), Err(Invalid::Data));
        assert_eq!(decode(&Wire { gas_limit: 20_999, ..wire() }), Err(Invalid::GasLimit { got: 20_999 }));
        let long = encode(&Wire { data: vec![0; 200].into(), ..wire() });
        assert_eq!(SignedTransfer::decode(&long, DOMAIN), Err(Invalid::Length { got: long.len(), most: 193 }));
    }

    #[test]
    fn signatures_out_of_range_are_refused() {
        for (r, s) in [
            (U256::ZERO, U256::from(1)),
            (ORDER, U256::from(1)),
            (U256::from(1), U256::ZERO),
            (U256::from(1), HALF_ORDER + U256::from(1)),
        ] {
            assert_eq!(decode(&Wire { r, s, ..wire() }), Err(Invalid::SignatureRange));
        }
        // The second signature of the same key: (r, order - s) with the other parity.
        let Wire { v, s, .. } = wire();
        assert_eq!(decode(&Wire { v: 39 + 40 - v, s: ORDER - s, ..wire() }), Err(Invalid::SignatureRange));
    }

    #[test]
    fn only_the_shortest_encoding_is_accepted() {
        let good = encode(&wire());
        assert!(SignedTransfer::decode(&good, DOMAIN).is_ok());
        // Header of two bytes, then nonce 9: say it with a leading zero, or as a string of one byte.
        assert_eq!(good[..3], [0xf8, (good.len() - 2) as u8, 9]);
        for nonce in [&[0x82, 0, 9][..], &[0x81, 9]] {
            let mut bytes = vec![0xf8, (good.len() - 3 + nonce.len()) as u8];
            bytes.extend_from_slice(nonce);
            bytes.extend_from_slice(&good[3..]);
            assert!(matches!(SignedTransfer::decode(&bytes, DOMAIN), Err(Invalid::Encoding(_))));
        }
        let long_header = [&[0xf9, 0, good[1]], &good[2..]].concat();
        assert!(matches!(SignedTransfer::decode(&long_header, DOMAIN), Err(Invalid::Encoding(_))));
        let trailing = [&good[..], &[0]].concat();
        assert!(matches!(SignedTransfer::decode(&trailing, DOMAIN), Err(Invalid::Encoding(_))));
    }

    proptest! {
        #[test]
        fn any_transfer_comes_back(nonce: u64, gas_price: [u64; 4], gas_limit in 21_000u64.., to: [u8; 20], value: [u64; 4], odd: bool, r in 1u64.., s in 1u64..) {
            let transfer = Transfer { nonce, gas_price: U256::from_limbs(gas_price), gas_limit, to: to.into(), value: U256::from_limbs(value) };
            let signed = SignedTransfer { transfer, signature: TransferSignature { odd, r: U256::from(r), s: U256::from(s) } };
            prop_assert_eq!(SignedTransfer::decode(&signed.encode(DOMAIN), DOMAIN), Ok(signed));
        }

        #[test]
        fn random_bytes_never_decode_to_something_else(bytes: Vec<u8>) {
            if let Ok(signed) = SignedTransfer::decode(&bytes, DOMAIN) {
                prop_assert_eq!(signed.encode(DOMAIN), bytes);
            }
        }

        #[test]
        fn truncated_flipped_and_lengthened_transfers_never_panic(cut in 0usize..110, flip in 0usize..110, bit in 0u8..8, tail in 1usize..100) {
            let good = encode(&wire());
            prop_assert!(SignedTransfer::decode(&good[..cut.min(good.len() - 1)], DOMAIN).is_err());
            let mut longer = good.clone();
            longer.resize(good.len() + tail, 0x80);
            prop_assert!(SignedTransfer::decode(&longer, DOMAIN).is_err());
            let mut flipped = good.clone();
            flipped[flip % good.len()] ^= 1 << bit;
            if let Ok(signed) = SignedTransfer::decode(&flipped, DOMAIN) {
                prop_assert_eq!(signed.encode(DOMAIN), flipped);
            }
        }
    }
}
