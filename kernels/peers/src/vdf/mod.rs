//! Rows of the delay functions: our kernels against GMP, OpenSSL, poanetwork's crates, and chiavdf as a process of its own.
//!
//! Peers differ in the discriminant's rule, the challenge's length and what verification derives anew, so every row says all
//! of it. Where both sides compute the same thing their bytes are compared before anything is timed and in every timed call;
//! verdicts likewise. Every side times itself with the shorter one of wall time and processor time.
//!
//! One file a kind of row: [`square`], [`rsa`], [`verify`], [`discriminant`], [`evaluate`]; and one a peer: [`gmp`],
//! [`openssl`] and [`poanetwork`] behind the features of these names (`absent.rs` stands in for them), [`chiavdf`] behind
//! options, because it is no library here.

#[cfg(not(all(feature = "gmp", feature = "openssl", feature = "poanetwork")))]
mod absent;
mod chiavdf;
mod discriminant;
mod evaluate;
#[cfg(feature = "gmp")]
mod gmp;
#[cfg(feature = "openssl")]
mod openssl;
#[cfg(feature = "poanetwork")]
mod poanetwork;
mod rsa;
mod square;
mod verify;

use std::path::PathBuf;

#[cfg(not(feature = "gmp"))]
use absent::gmp;
#[cfg(not(feature = "openssl"))]
use absent::openssl;
#[cfg(not(feature = "poanetwork"))]
use absent::poanetwork;
use rand::Rng;
use shardmark_kernels::backend::generator;

use crate::duel::Table;

/// Peers that are programs.
#[derive(clap::Args)]
pub struct Programs {
    /// chiavdf's `vdf_bench`, as scripts/build-chiavdf-bench.sh builds it.
    #[arg(long, value_name = "PATH")]
    chiavdf_bench: Option<PathBuf>,
    /// A Python interpreter that has the wheel `chiavdf`.
    #[arg(long, value_name = "PATH")]
    chiavdf_python: Option<PathBuf>,
}

/// All rows.
///
/// # Errors
///
/// A side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table, programs: &Programs) -> Result<(), String> {
    square::rows(table, programs.chiavdf_bench.as_deref())?;
    rsa::rows(table)?;
    verify::rows(table, programs.chiavdf_python.as_deref())?;
    discriminant::rows(table)?;
    evaluate::rows(table, programs.chiavdf_python.as_deref())
}

/// A library, and how a row calls it.
struct Peer<F> {
    /// Library, version, function.
    name: &'static str,
    /// What is special about its timed region.
    timed: &'static str,
    /// None if the library is not built in.
    call: Option<F>,
}

/// Why there is no row against a library.
const NOT_BUILT_IN: &str = "not built in (features gmp, openssl, poanetwork: scripts/build-versus.sh)";

/// Says why there is no row against this peer, if one is wanted.
fn without(table: &mut Table, kernel: &str, case: &str, peer: &str, reason: &str) -> Result<(), String> {
    if table.wants(kernel, case, peer) {
        return table.unavailable(kernel, case, &format!("{peer}: {reason}"));
    }
    Ok(())
}

/// Random bytes, the same for the same length and index.
fn bytes(length: usize, index: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    generator("versus/vdf", length as u64, index).fill_bytes(&mut bytes);
    bytes
}

/// A seed, the same for the same index.
fn seed(index: u64) -> [u8; 32] {
    let mut seed = [0; 32];
    seed.copy_from_slice(&bytes(32, index));
    seed
}
