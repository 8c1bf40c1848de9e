//! Certificates: a quorum's aggregated votes for one block in one view.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::fbft::bitmap::{BitmapError, SignerBitmap};
use crate::fbft::committee::Committee;
use crate::fbft::crypto::{Claim, Crypto, Kind, payload};
use crate::types::{BlockNum, Hash, Signature, ViewId};

/// Which vote a certificate aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Phase {
    /// Prepare votes: a *prepared certificate*.
    Prepare = 2,
    /// Commit votes: a *commit certificate*, which makes the block final.
    Commit = 3,
}

impl Phase {
    /// The kind of the votes inside.
    pub fn kind(self) -> Kind {
        match self {
            Self::Prepare => Kind::Prepare,
            Self::Commit => Kind::Commit,
        }
    }
}

/// A certificate as it travels: claimed, not verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// Which votes.
    pub phase: Phase,
    /// Height voted on.
    pub block_num: BlockNum,
    /// The view that the votes signed: what a prepared certificate ranks by.
    pub view_id: ViewId,
    /// Block voted for.
    pub block_hash: Hash,
    /// Encoded [`SignerBitmap`].
    pub signers: Vec<u8>,
    /// Sum of the votes' signatures.
    pub signature: Signature,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Malformed bitmap.
    #[error(transparent)]
    Bitmap(#[from] BitmapError),
    /// The signers are no quorum.
    #[error("{power} of {total} voting power is not above two thirds")]
    NoQuorum {
        /// Power of the signers.
        power: u64,
        /// Power of the committee.
        total: u64,
    },
    /// The aggregated signature does not verify.
    #[error("certificate signature does not verify")]
    BadSignature,
}

impl Certificate {
    /// What a ViewChange signs of its highest prepared certificate: a hash over view and block. All zeros stands for none.
    pub fn digest(certificate: Option<&Self>) -> Hash {
        let Some(certificate) = certificate else { return Hash([0; 32]) };
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"shardmark/prepared/v1");
        hasher.update(&certificate.block_num.0.to_le_bytes());
        hasher.update(&certificate.view_id.0.to_le_bytes());
        hasher.update(&certificate.block_hash.0);
        Hash(*hasher.finalize().as_bytes())
    }

    /// The signature claim inside, once the bitmap is well-formed and a quorum.
    ///
    /// # Errors
    ///
    /// [`CertificateError::Bitmap`], [`CertificateError::NoQuorum`].
    pub fn claim(&self, committee: &Committee) -> Result<Claim, CertificateError> {
        let signers = SignerBitmap::from_bytes(&self.signers, committee.slots())?;
        let (power, total) = (signers.count(), u64::from(committee.slots()));
        if !committee.is_quorum(power) {
            return Err(CertificateError::NoQuorum { power, total });
        }
        let message = payload(
            committee.chain(),
            committee.shard(),
            self.phase.kind(),
            self.block_num,
            self.view_id,
            &self.block_hash,
        );
        Ok(Claim { signers, message, signature: self.signature })
    }
}

/// A certificate that was verified. [`QuorumCertificate::try_new`] is the only door, apart from the batch of
/// `fbft::verify` and the leader's own sum of verified votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumCertificate(Certificate);

impl QuorumCertificate {
    /// Checks bitmap, quorum and signature.
    ///
    /// # Errors
    ///
    /// [`CertificateError`].
    pub fn try_new(
        certificate: Certificate,
        committee: &Committee,
        crypto: &dyn Crypto,
    ) -> Result<Self, CertificateError> {
        let claim = certificate.claim(committee)?;
        if crypto.verify(&[claim]) != [true] {
            return Err(CertificateError::BadSignature);
        }
        Ok(Self(certificate))
    }

    /// For what a batch of `fbft::verify` accepted and for a quorum of votes that it accepted one by one.
    pub(super) fn attest(certificate: Certificate) -> Self {
        Self(certificate)
    }

    /// The certificate, to send or store.
    pub fn certificate(&self) -> &Certificate {
        &self.0
    }
}

impl std::ops::Deref for QuorumCertificate {
    type Target = Certificate;

    fn deref(&self) -> &Certificate {
        &self.0
    }
}
