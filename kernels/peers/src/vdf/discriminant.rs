//! `vdf/discriminant`: from a seed to the prime of Harmony's rule, one seed at a time, 16 of them a round.

use shardmark_kernels::backend::Kernel;
use shardmark_kernels::vdf::{Discriminant, DiscriminantSetup, Scheme};

use super::{NOT_BUILT_IN, Peer, gmp, poanetwork, seed, without};
use crate::clock::watch;
use crate::duel::{Case, Table};
use crate::ours::Ours;

const BITS: u32 = 2048;
const SEEDS: u64 = 16;

/// The magnitude for a seed, big-endian, `bits / 8` bytes; None if there is none of this size.
pub type Find = fn(bits: u32, seed: &[u8; 32]) -> Option<Vec<u8>>;

const PEERS: [Peer<Find>; 2] = [gmp::SEARCH, poanetwork::SEARCH];

/// All rows.
///
/// # Errors
///
/// A side is wrong, or the output cannot be written.
pub fn rows(table: &mut Table) -> Result<(), String> {
    let name = format!("bits={BITS} seeds={SEEDS}");
    for peer in PEERS {
        match peer.call {
            None => without(table, Discriminant::NAME, &name, peer.name, NOT_BUILT_IN)?,
            Some(find) if table.wants(Discriminant::NAME, &name, peer.name) => row(table, &name, &peer, find)?,
            Some(_) => {}
        }
    }
    Ok(())
}

fn row(table: &mut Table, name: &str, peer: &Peer<Find>, find: Find) -> Result<(), String> {
    let setup = DiscriminantSetup { scheme: Scheme::Harmony128, discriminant_bits: BITS };
    let ours = match Ours::<Discriminant>::open(table.backend, &setup) {
        Ok(ours) => ours,
        Err(reason) => return table.unavailable(Discriminant::NAME, name, &reason),
    };
    let seeds: Vec<[u8; 32]> = (0..SEEDS).map(seed).collect();
    let want = ours.checked(&setup, &seeds)?;
    let inputs: Vec<Vec<[u8; 32]>> = seeds.iter().map(|seed| vec![*seed]).collect();
    let mut sessions = inputs.iter().map(|input| ours.load(input)).collect::<Result<Vec<_>, _>>()?;
    let path = sessions.first().and_then(|session| session.path());
    let case = Case { kernel: Discriminant::NAME, name, items: SEEDS, ours: &ours.description, path };
    let timed = format!(
        "from a seed to the discriminant's bytes, {SEEDS} seeds in turn; ours tests a prime by 3 rounds of Miller-Rabin after base 2; {}",
        peer.timed
    );
    table.duel_each(
        &case,
        peer.name,
        &timed,
        &mut |index| watch(|| sessions[index].output().is_some_and(|found| found == want[index..=index])),
        &mut |index| watch(|| find(BITS, &seeds[index]).is_some_and(|found| found == want[index])),
    )
}
