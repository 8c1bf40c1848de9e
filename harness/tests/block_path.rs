//! The way of a block without consensus: load, pool, proposer, chunks, every validator's state. Only what the library shows.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use shardmark::ledger::pool::{Outcome, PoolLimits};
use shardmark::ledger::transaction::Domain;
use shardmark::ledger::workload::{Checker, Ledger, LedgerConfig, Workload};
use shardmark::load::{Accounts, Arrivals, Destinations, Load, LoadConfig};
use shardmark::propagation::{Assembled, Assembly, ChunkMessage, Dispersal, DispersalConfig, Early, EarlyLimits};
use shardmark::types::{BlockNum, ChainId, Hash, ShardId, ValidatorIndex};
use shardmark_kernels::backend::{BackendId, Options};
use shardmark_kernels::erasure::Code;

const VALIDATORS: u16 = 7;
const DOMAIN: Domain = Domain { chain: ChainId(2), shard: ShardId(0) };
const BODY_BYTES: u32 = 3000;

fn load_config(workload: Workload) -> LoadConfig {
    LoadConfig {
        seed: 3,
        workload,
        domain: DOMAIN,
        validators: VALIDATORS,
        arrivals: Arrivals::Poisson,
        rate: 100.0,
        warmup_ms: 0,
        duration_ms: 1000,
        drain_ms: 0,
        accounts: 20,
        destinations: Destinations::Uniform,
        tx_bytes: 100,
        max_bytes: 1 << 30,
    }
}

struct Validator {
    index: ValidatorIndex,
    checker: Checker,
    ledger: Ledger,
}

fn committee(workload: Workload, accounts: &Accounts) -> Vec<Validator> {
    let pool = PoolLimits { max_transactions: 1000, max_bytes: 1 << 20, max_queued_per_sender: 8, expiry_ms: 1000 };
    let config = LedgerConfig {
        workload,
        domain: DOMAIN,
        validators: VALIDATORS,
        max_body_bytes: BODY_BYTES,
        max_payload_bytes: 100,
        pool,
        sender_cache: 1000,
        recover: BackendId::Cpu,
        options: Options::default(),
    };
    let validator = |i| Validator {
        index: ValidatorIndex(i),
        checker: Checker::new(config.clone()).unwrap(),
        ledger: Ledger::new(&config, accounts.genesis()).unwrap(),
    };
    (0..VALIDATORS).map(validator).collect()
}

fn dispersal(code: Option<Code>) -> Arc<Dispersal> {
    let (data_chunks, parity_chunks) = (None, None);
    let (encode, reconstruct, options) = (BackendId::Cpu, BackendId::Cpu, Options::default());
    let max_body_bytes = BODY_BYTES;
    let config = DispersalConfig { code, data_chunks, parity_chunks, max_body_bytes, encode, reconstruct, options };
    Arc::new(Dispersal::new(&config, VALIDATORS).unwrap())
}

/// The body as each validator but the leader gets it; `silent` ones relay nothing.
fn disperse(
    dispersal: &Arc<Dispersal>,
    leader: ValidatorIndex,
    body: &[u8],
    silent: &[u16],
    height: u64,
) -> Vec<Vec<u8>> {
    let cut = dispersal.cut(body).unwrap();
    let block_hash = Hash([height as u8; 32]);
    let wire = |chunk| {
        let message =
            ChunkMessage { chain: DOMAIN.chain, shard: DOMAIN.shard, block_num: BlockNum(height), block_hash, chunk };
        ChunkMessage::decode(&message.encode(), dispersal.max_chunk_bytes()).unwrap()
    };
    let mut queue: Vec<(ValidatorIndex, ValidatorIndex, ChunkMessage)> = Vec::new();
    for chunk in cut.chunks {
        let recipients = dispersal.recipients(leader, chunk.index);
        let message = wire(chunk);
        queue.extend(recipients.into_iter().map(|to| (leader, to, message.clone())));
    }
    // At odd validators the header comes after the leader's first chunk.
    let limits = EarlyLimits { max_chunks: 4, max_bytes: 1 << 20 };
    let mut early: Vec<Early> = (0..VALIDATORS).map(|_| Early::new(limits)).collect();
    let mut assemblies: Vec<Option<Assembly>> = (0..VALIDATORS).map(|_| None).collect();
    let mut bodies: Vec<Option<Vec<u8>>> = vec![None; usize::from(VALIDATORS)];
    while !queue.is_empty() {
        let (from, to, message) = queue.remove(0);
        let place = usize::from(to.0);
        early[place].push(from, message);
        if to.0 % 2 == 1
            && assemblies[place].is_none()
            && queue.iter().any(|(_, other, _)| *other == to)
            && from == leader
        {
            continue;
        }
        let assembly = assemblies[place]
            .get_or_insert_with(|| Assembly::new(Arc::clone(dispersal), cut.commitment, to, leader).unwrap());
        for (from, message) in early[place].take(&block_hash) {
            let added = assembly.add(from, &message.chunk).unwrap();
            if added.relay && !silent.contains(&to.0) {
                queue.extend(
                    dispersal.relay_recipients(to, leader).into_iter().map(|other| (to, other, message.clone())),
                );
            }
            if let Some(job) = added.job {
                let Assembled::Body(body) = job.run().unwrap() else { panic!("the encoding is good") };
                bodies[place] = Some(body);
            }
        }
    }
    let receivers = bodies.into_iter().enumerate().filter(|(place, _)| *place != usize::from(leader.0));
    receivers.map(|(place, body)| body.unwrap_or_else(|| panic!("validator {place} has no body"))).collect()
}

fn run(workload: Workload, code: Option<Code>) {
    let config = load_config(workload);
    let accounts = Accounts::derive(config.seed, config.accounts);
    let mut committee = committee(workload, &accounts);
    let dispersal = dispersal(code);
    let mut total = 0;
    // Every validator's pool gets everything, as if homes had forwarded to each leader in turn.
    for home in 0..VALIDATORS {
        let mut load = Load::build(&config, &accounts, ValidatorIndex(home)).unwrap();
        total += load.len() as u64;
        let transactions: Vec<_> = load.due(u64::MAX, usize::MAX).into_iter().map(|due| due.bytes).collect();
        for validator in &mut committee {
            for verdict in validator.checker.check(transactions.clone()).unwrap() {
                assert_eq!(validator.ledger.admit(0, verdict), Outcome::Admitted);
            }
        }
    }
    let mut finalized = 0;
    for height in 1.. {
        let leader = usize::from(height as u16 % VALIDATORS);
        let (block, execution) = committee[leader].ledger.build(u32::MAX);
        if block.is_empty() {
            break;
        }
        finalized += u64::from(block.len());
        let silent = [(height as u16 + 1) % VALIDATORS, (height as u16 + 3) % VALIDATORS];
        let bodies = disperse(&dispersal, committee[leader].index, block.as_bytes(), &silent, height);
        let others = committee.iter_mut().enumerate().filter(|(i, _)| *i != leader).map(|(_, validator)| validator);
        for (validator, body) in others.zip(bodies) {
            let checked = validator.checker.check_body(body).unwrap().unwrap();
            assert!(checked.ids().eq(block.ids()));
            let own = validator.ledger.execute(&checked).unwrap();
            assert_eq!((own.state_root, own.receipts_root), (execution.state_root, execution.receipts_root));
            validator.ledger.commit(&checked, own).unwrap();
        }
        committee[leader].ledger.commit(&block, execution).unwrap();
    }
    assert_eq!(finalized, total);
    for validator in &committee {
        assert!(validator.ledger.pool().is_empty());
        assert_eq!(validator.ledger.pool().counts().finalized, total);
        assert_eq!(validator.ledger.state_root(), committee[0].ledger.state_root());
        let counts = validator.checker.sender_counts();
        assert_eq!(counts.recovered, if workload == Workload::Transfers { total } else { 0 }, "each sender once");
    }
}

#[test]
fn signed_transfers_reach_every_state_through_chunks_with_f_silent_relays() {
    for code in Code::ALL {
        run(Workload::Transfers, Some(code));
    }
}

#[test]
fn payloads_reach_every_state_through_chunks_with_f_silent_relays() {
    run(Workload::Opaque, Some(Code::RsVandermonde));
}

#[test]
fn signed_transfers_reach_every_state_as_whole_blocks() {
    run(Workload::Transfers, None);
}
