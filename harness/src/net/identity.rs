//! Who a validator is on the wire: one self-signed certificate and key a run, and the roster that pins them.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::types::ValidatorIndex;

/// A certificate and its private key, made for one run.
///
/// The certificate goes into the [`Roster`]. The key stays in the run's private folder, mode 0600, and enters no bundle.
#[derive(Clone)]
pub struct Identity {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

impl Identity {
    /// A new ECDSA P-256 key and a self-signed certificate for it. The certificate's names and dates mean nothing:
    /// peers compare its bytes.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        let made = rcgen::generate_simple_self_signed(vec![super::tls::SERVER_NAME.into()])
            .map_err(|error| Error::Identity(error.to_string()))?;
        Ok(Self { certificate: made.cert.der().to_vec(), private_key: made.signing_key.serialize_der() })
    }

    /// Reads back what [`Identity::certificate`] and [`Identity::private_key`] gave.
    ///
    /// # Errors
    /// When either is malformed, or the key is not the certificate's.
    pub fn from_der(certificate: Vec<u8>, private_key: Vec<u8>) -> Result<Self, Error> {
        let identity = Self { certificate, private_key };
        identity.certified_key()?;
        Ok(identity)
    }

    /// X.509 certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// PKCS #8 private key, DER. Secret.
    pub fn private_key(&self) -> &[u8] {
        &self.private_key
    }

    pub(super) fn certified_key(&self) -> Result<CertifiedKey, Error> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.private_key.clone()));
        let chain = vec![CertificateDer::from(self.certificate.clone())];
        CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())
            .map_err(|error| Error::Identity(error.to_string()))
    }

    /// A secret for the transport's own use that a restarted validator finds again.
    pub(super) fn derived_key(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.private_key)
    }

    pub(super) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate", &blake3::hash(&self.certificate)).finish_non_exhaustive()
    }
}

/// A validator as its peers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its place in the committee.
    pub index: ValidatorIndex,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate, DER (hexadecimal where this is written as text).
    #[serde(with = "hexadecimal")]
    pub certificate: Vec<u8>,
}

/// Everyone who may speak in a run. Public: it holds no key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    /// The validators, this one among them, in any order.
    pub peers: Vec<Peer>,
}

impl Roster {
    /// Refuses a roster in which an index, an address or a certificate stands twice.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self) -> Result<(), Error> {
        let (mut indices, mut addresses, mut certificates) = (HashSet::new(), HashSet::new(), HashSet::new());
        for peer in &self.peers {
            if !indices.insert(peer.index) {
                return Err(Error::Roster(format!("validator {} stands twice", peer.index)));
            }
            if !addresses.insert(peer.address) {
                return Err(Error::Roster(format!("two validators have the address {}", peer.address)));
            }
            if !certificates.insert(&peer.certificate) {
                return Err(Error::Roster(format!("validator {} has another's certificate", peer.index)));
            }
            if peer.address.port() == 0 || peer.address.ip().is_unspecified() {
                return Err(Error::Roster(format!("validator {} cannot be reached at {}", peer.index, peer.address)));
            }
        }
        Ok(())
    }
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(index: u16, port: u16, identity: &Identity) -> Peer {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Peer { index: ValidatorIndex(index), address, certificate: identity.certificate().to_vec() }
    }

    #[test]
    fn an_identity_survives_der() {
        let made = Identity::generate().unwrap();
        let read = Identity::from_der(made.certificate().to_vec(), made.private_key().to_vec()).unwrap();
        assert_eq!(made.certificate(), read.certificate());
        assert_eq!(made.derived_key("a"), read.derived_key("a"));
        assert_ne!(made.derived_key("a"), made.derived_key("b"));
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_refused() {
        let (a, b) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        assert!(Identity::from_der(a.certificate().to_vec(), b.private_key().to_vec()).is_err());
        assert!(Identity::from_der(vec![1, 2, 3], a.private_key().to_vec()).is_err());
        assert!(Identity::from_der(a.certificate().to_vec(), vec![]).is_err());
    }

    #[test]
    fn debug_output_holds_no_key() {
        let identity = Identity::generate().unwrap();
        assert!(!format!("{identity:?}").contains("private"));
    }

    #[test]
    fn a_roster_survives_json_and_refuses_contradictions() {
        let (a, b) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let roster = Roster { peers: vec![peer(0, 1000, &a), peer(1, 1001, &b)] };
        roster.check().unwrap();
        assert_eq!(serde_json::from_str::<Roster>(&serde_json::to_string(&roster).unwrap()).unwrap(), roster);
        for bad in [peer(0, 1001, &b), peer(1, 1000, &b), peer(1, 1001, &a), peer(1, 0, &b)] {
            assert!(Roster { peers: vec![peer(0, 1000, &a), bad] }.check().is_err());
        }
    }
}
