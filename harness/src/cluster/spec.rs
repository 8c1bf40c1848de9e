//! What one validator process is told: its configuration, its committee and its secrets.
//!
//! Secrets are made afresh for every run, lie in a folder of mode 0700 as files of mode 0600, and never enter a bundle.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::TryRng;
use serde::{Deserialize, Serialize};
use shardmark_kernels::bls::SecretKey;

use crate::config::Config;
use crate::net::Identity;
use crate::types::ValidatorIndex;

/// One validator's file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Which validator.
    pub index: ValidatorIndex,
    /// The run's configuration, with one backend per kernel family decided.
    pub config: Config,
    /// The run's bundle: where events and histograms go.
    pub bundle: PathBuf,
    /// Where the journal goes.
    pub data: PathBuf,
    /// Public keys of all validators, hex, by validator and slot, each with its proof of possession.
    pub committee: Vec<Vec<ProvenKey>>,
    /// Own BLS keys, hex of the 32 bytes each key is derived from.
    pub secrets: Vec<String>,
    /// Own TLS certificate and key.
    pub identity: IdentitySpec,
}

/// A public key and the proof that somebody holds its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProvenKey {
    /// 48 bytes, hex.
    pub key: String,
    /// 96 bytes, hex.
    pub possession: String,
}

/// A TLS identity as DER, hex.
#[derive(Clone, Serialize, Deserialize)]
pub struct IdentitySpec {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// The secrets of a whole run, held by the launcher only until the files are written.
pub struct Secrets {
    committee: Vec<Vec<ProvenKey>>,
    secrets: Vec<Vec<String>>,
    identities: Vec<Identity>,
}

impl Secrets {
    /// Draws keys for every validator from the operating system's generator.
    ///
    /// # Errors
    ///
    /// The generator failed, or a certificate could not be made.
    pub fn draw(validators: u16, keys_per_validator: u16) -> anyhow::Result<Self> {
        let mut all = Self { committee: Vec::new(), secrets: Vec::new(), identities: Vec::new() };
        for _ in 0..validators {
            let (mut keys, mut secrets) = (Vec::new(), Vec::new());
            for _ in 0..keys_per_validator {
                let mut material = [0; 32];
                rand::rngs::SysRng.try_fill_bytes(&mut material)?;
                let secret = SecretKey::from_ikm(&material);
                keys.push(ProvenKey {
                    key: hex::encode(secret.public_key()),
                    possession: hex::encode(secret.prove_possession()),
                });
                secrets.push(hex::encode(material));
            }
            all.committee.push(keys);
            all.secrets.push(secrets);
            all.identities.push(Identity::generate()?);
        }
        Ok(all)
    }

    /// The certificate that validator `index` shows.
    pub fn certificate(&self, index: usize) -> &[u8] {
        self.identities[index].certificate()
    }

    /// What validator `index` is told.
    pub fn spec(&self, index: usize, config: &Config, bundle: &Path, data: PathBuf) -> NodeSpec {
        let identity = &self.identities[index];
        NodeSpec {
            index: ValidatorIndex(index as u16),
            config: config.clone(),
            bundle: bundle.to_owned(),
            data,
            committee: self.committee.clone(),
            secrets: self.secrets[index].clone(),
            identity: IdentitySpec {
                certificate: hex::encode(identity.certificate()),
                key: hex::encode(identity.private_key()),
            },
        }
    }
}

/// Makes a folder that only this user can enter.
///
/// # Errors
///
/// I/O errors.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path)
}

/// Writes a file that only this user can read.
///
/// # Errors
///
/// I/O errors.
pub fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}
