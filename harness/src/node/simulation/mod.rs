//! Whole validators in simulation: what `fbft::tests` does for the replica alone, done for everything that a node joins.
//!
//! | module | what |
//! |---|---|
//! | `scenario` | what a run is like |
//! | `fixture` | what runs share |
//! | `disk` | a journal in memory |
//! | `world` | validators, network, time |
//! | `promises` | what must hold |
//! | `actor`, `forge` | validators and blocks that break the rules |
//! | `storms`, `planted` | random bad times; faults that must be noticed |
//! | `lab` | one validator, fed by hand |
//! | `catch_up`, `hostile` | what was missed; bytes that no validator sends |
//!
//! A failing seed prints the command that runs it alone. `SHARDMARK_SEEDS=2000` runs more of them, `SHARDMARK_TRACE=1` prints
//! every step of one.

mod actor;
mod catch_up;
mod disk;
mod fixture;
mod forge;
mod hostile;
mod lab;
mod planted;
mod promises;
mod scenario;
mod storms;
mod world;
