//! `erasure/disperse` and `erasure/retrieve`: conformance, every refusal in its order, and roots over what is no code word.

use std::collections::BTreeSet;

use shardmark_kernels::backend::carries_invalid;
use shardmark_kernels::conformance::instruction_sets;
use shardmark_kernels::erasure::{Delivered, Delivery, Disperse, Dispersed, Retrieve};

use super::*;

/// Every class of shape; fewer, as many and more chunks than lanes; trees that are full and that are not.
const SHAPES: [(u16, u16); 9] = [(1, 1), (1, 5), (2, 1), (3, 4), (5, 3), (10, 4), (7, 9), (16, 16), (20, 45)];

/// Around the ends of hash blocks and hash chunks, of which a leaf's prefix takes 5 bytes.
const CHUNK_BYTES: [usize; 18] =
    [1, 2, 58, 59, 60, 64, 66, 122, 124, 1018, 1019, 1020, 1024, 2042, 2043, 2044, 3100, 5116];

/// Every backend and instruction set that opens, on one thread and on three.
fn opened<K: Kernel>() -> Vec<(String, Box<dyn Backend<K>>)> {
    let mut opened = Vec::new();
    for id in BackendId::ALL {
        for isa in instruction_sets(id) {
            for threads in [1, 3] {
                if let Ok(backend) = K::open(id, &Options { threads, isa, ..Options::default() }) {
                    opened.push((format!("{id} {isa:?} {threads}"), backend));
                }
            }
        }
    }
    assert!(opened.len() >= 2);
    opened
}

fn disperse(backend: &dyn Backend<Disperse>, shape: &Shape, data: &Vec<u8>) -> Dispersed {
    backend.prepare(shape).unwrap().compute(data, &Control::default()).unwrap()
}

/// What every backend says, which must be one thing, and what the oracle says.
fn retrieve(shape: &Shape, delivery: &Delivery) -> Result<Vec<u8>, Refusal> {
    let verdict = |backend: &dyn Backend<Retrieve>| {
        backend.prepare(shape).unwrap().compute(delivery, &Control::default()).unwrap()
    };
    let verdicts: Vec<(String, _)> =
        opened::<Retrieve>().into_iter().map(|(name, backend)| (name, verdict(&*backend))).collect();
    let first = verdicts[0].1.clone();
    Retrieve::check(shape, delivery, &first).unwrap();
    for (name, verdict) in verdicts {
        assert!(verdict == first, "{name}: {verdict:?}");
    }
    first
}

fn shape_of((data_chunks, parity_chunks): (u16, u16), code: Code) -> Shape {
    Shape::new(code, data_chunks, parity_chunks).unwrap()
}

/// All chunks with their proofs.
fn delivery(shape: &Shape, chunk_bytes: usize) -> (Vec<u8>, Delivery) {
    let data = splitmix_bytes(77, shape.k() * chunk_bytes);
    let backend = Disperse::open(BackendId::Cpu, &Options::default()).unwrap();
    let Dispersed { parity, .. } = disperse(&*backend, shape, &data);
    let chunks = data.chunks_exact(chunk_bytes).chain(parity.chunks_exact(chunk_bytes)).map(<[u8]>::to_vec);
    let delivery = committed(chunks.collect());
    (data, delivery)
}

/// Any chunks under a tree that is right.
fn committed(chunks: Vec<Vec<u8>>) -> Delivery {
    let tree = Tree::build(&chunks).unwrap();
    let chunk_bytes = chunks[0].len();
    let received = chunks.into_iter().zip(0u16..);
    let received = received.map(|(bytes, index)| Delivered { index, bytes, proof: tree.proof(index.into()) }).collect();
    Delivery { root: tree.root(), chunk_bytes, received }
}

#[test]
fn disperse_conforms_on_every_backend() {
    for code in Code::ALL {
        let sizes = CHUNK_BYTES.into_iter().filter(|bytes| bytes.is_multiple_of(code.symbol_bytes()));
        let params: Vec<EncodeParams> = sizes
            .flat_map(|chunk_bytes| {
                SHAPES.map(|(data_chunks, parity_chunks)| EncodeParams {
                    code,
                    data_chunks,
                    parity_chunks,
                    chunk_bytes,
                })
            })
            // Many chunks and many bytes apart.
            .filter(|params| params.chunk_bytes < 200 || params.shape().total() < 20)
            .collect();
        conformance::<Disperse>(&params, &[1]);
    }
}

#[test]
fn disperse_conforms_where_columns_and_threads_cut() {
    for code in Code::ALL {
        let params =
            |data_chunks, parity_chunks, chunk_bytes| EncodeParams { code, data_chunks, parity_chunks, chunk_bytes };
        let cases = [(32, 32, 9_000), (3, 2, 100_002), (85, 171, 2_100), (1, 1, 300_000), (10, 4, 65_536)];
        conformance::<Disperse>(&cases.map(|(k, m, bytes)| params(k, m, bytes)), &[2]);
    }
}

/// The seeds whose first input carries something invalid, and some more.
fn seeds() -> Vec<u64> {
    (0..).filter(|seed| carries_invalid(*seed, 0)).take(5).chain([1]).collect()
}

#[test]
fn retrieve_conforms_on_every_backend_from_no_loss_to_the_most() {
    for code in Code::ALL {
        let mut params = Vec::new();
        for (data_chunks, parity_chunks) in SHAPES {
            for chunk_bytes in [2, 60, 1020, 2044] {
                let most = data_chunks.min(parity_chunks);
                let losses = if chunk_bytes == 60 { vec![0, most / 2, most] } else { vec![most] };
                for missing in losses {
                    params.push(ReconstructParams { code, data_chunks, parity_chunks, chunk_bytes, missing });
                }
            }
        }
        params.retain(|params| params.chunk_bytes < 1000 || params.shape().total() < 20);
        conformance::<Retrieve>(&params, &seeds());
        let long = ReconstructParams { code, data_chunks: 10, parity_chunks: 4, chunk_bytes: 20_000, missing: 3 };
        conformance::<Retrieve>(&[long], &seeds());
    }
}

#[test]
fn generated_inputs_are_invalid_where_they_should_be_and_in_every_way() {
    let params = ReconstructParams { code: CODE, data_chunks: 3, parity_chunks: 2, chunk_bytes: 70, missing: 1 };
    let shape = params.shape();
    let mut proofs = BTreeSet::new();
    let mut encodings = 0;
    for seed in 0..200 {
        let input = Retrieve::generate(&params, &shape, seed, 0);
        let trusted = input.received.iter().cloned().map(|chunk| Delivered { proof: None, ..chunk }).collect();
        match retrieve(&shape, &input) {
            Ok(_) => assert!(!carries_invalid(seed, 0)),
            Err(refusal) => {
                assert!(carries_invalid(seed, 0));
                match refusal {
                    // A spoiled sibling is not missed where nobody looks; a spoiled chunk is.
                    Refusal::Proof { .. } => {
                        let unproven = retrieve(&shape, &Delivery { received: trusted, ..input });
                        proofs.insert(unproven.is_ok());
                    }
                    Refusal::Encoding => encodings += 1,
                    other => panic!("{other}"),
                }
            }
        }
    }
    assert_eq!(proofs.len(), 2, "chunks and siblings");
    assert!(encodings > 0);
}

#[test]
fn each_fault_of_a_delivery_has_its_own_reason_and_its_rank() {
    for code in Code::ALL {
        let shape = shape_of((3, 2), code);
        let (data, good) = delivery(&shape, 70);
        assert_eq!(retrieve(&shape, &good), Ok(data.clone()));
        let say = |change: &dyn Fn(&mut Delivery)| {
            let mut delivery = good.clone();
            change(&mut delivery);
            retrieve(&shape, &delivery).map(|data| data.len())
        };
        let proof = |index| Err(Refusal::Proof { index });
        // The chunks themselves, as in reconstruction.
        assert_eq!(say(&|d| d.received.truncate(2)), Err(Refusal::TooFew { got: 2, want: 3 }));
        assert_eq!(say(&|d| d.received.clear()), Err(Refusal::TooFew { got: 0, want: 3 }));
        assert_eq!(say(&|d| d.received[4].index = 5), Err(Refusal::IndexOutOfRange { index: 5, total: 5 }));
        assert_eq!(say(&|d| d.received[4].index = 1), Err(Refusal::Duplicate { index: 1 }));
        assert_eq!(say(&|d| d.received.push(d.received[2].clone())), Err(Refusal::Duplicate { index: 2 }));
        assert_eq!(say(&|d| d.received[3].bytes.truncate(69)), Err(Refusal::Length { index: 3, got: 69, want: 70 }));
        assert_eq!(say(&|d| d.chunk_bytes = 0), Err(Refusal::ChunkBytes { chunk_bytes: 0 }));
        assert_eq!(say(&|d| d.chunk_bytes = usize::MAX), Err(Refusal::ChunkBytes { chunk_bytes: usize::MAX }));
        // Proofs: spoiled chunks and siblings, wrong lengths, other places, another root; also of chunks that are not needed.
        for i in 0..5u16 {
            let at = usize::from(i);
            assert_eq!(say(&|d| d.received[at].bytes[69] ^= 1), proof(i));
            assert_eq!(say(&|d| d.received[at].bytes[0] ^= 128), proof(i));
            assert_eq!(say(&|d| d.received[at].proof.as_mut().unwrap().siblings[2][31] ^= 1), proof(i));
            assert_eq!(say(&|d| d.received[at].proof.as_mut().unwrap().siblings.truncate(2)), proof(i));
            assert_eq!(say(&|d| d.received[at].proof.as_mut().unwrap().siblings.push([0; 32])), proof(i));
            assert_eq!(say(&|d| d.received[at].proof = Some(Proof::default())), proof(i));
            assert_eq!(say(&|d| d.received[at].proof = d.received[(at + 1) % 5].proof.clone()), proof(i));
        }
        assert_eq!(say(&|d| d.root[7] ^= 1), proof(0));
        let swapped = |d: &mut Delivery| {
            let bytes = std::mem::take(&mut d.received[1].bytes);
            d.received[1].bytes = std::mem::replace(&mut d.received[4].bytes, bytes);
        };
        assert_eq!(say(&swapped), proof(1));
        let renamed = |d: &mut Delivery| (d.received[0].index, d.received[3].index) = (3, 0);
        assert_eq!(say(&renamed), proof(3));
        // The order of arrival decides, not the index; and a fault of the set comes before any proof.
        let two = |d: &mut Delivery| {
            d.received.swap(0, 4);
            d.received[0].bytes[3] ^= 1;
            d.received[4].bytes[3] ^= 1;
        };
        assert_eq!(say(&two), proof(4));
        let proof_and_count = |d: &mut Delivery| {
            d.received.truncate(2);
            d.received[0].bytes[3] ^= 1;
        };
        assert_eq!(say(&proof_and_count), Err(Refusal::TooFew { got: 2, want: 3 }));
        // Where the caller vouches, the root still decides.
        let unproven = |d: &mut Delivery| d.received.iter_mut().for_each(|chunk| chunk.proof = None);
        assert_eq!(say(&unproven), Ok(data.len()));
        for at in [0, 2] {
            let spoiled = |d: &mut Delivery| {
                unproven(d);
                d.received[at].bytes[5] ^= 1;
            };
            assert_eq!(say(&spoiled), Err(Refusal::Encoding));
        }
        let spoiled_parity = |d: &mut Delivery| {
            unproven(d);
            d.received.remove(1);
            d.received[2].bytes[5] ^= 1;
        };
        assert_eq!(say(&spoiled_parity), Err(Refusal::Encoding));
        let other_root = |d: &mut Delivery| {
            unproven(d);
            d.root = [0; 32];
        };
        assert_eq!(say(&other_root), Err(Refusal::Encoding));
    }
}

/// Whoever makes the root may commit to anything. No set of k chunks gives data then, so no two receivers differ.
#[test]
fn an_invalid_encoding_under_a_right_tree_is_refused_from_whatever_chunks() {
    for code in Code::ALL {
        let shape = shape_of((3, 3), code);
        let (data, good) = delivery(&shape, 66);
        let chunks: Vec<Vec<u8>> = good.received.iter().map(|chunk| chunk.bytes.clone()).collect();
        let mut spoiled: Vec<Delivery> = Vec::new();
        for i in 0..6 {
            let mut one = chunks.clone();
            one[i][65 - i] ^= 1;
            spoiled.push(committed(one));
        }
        let mut swapped = chunks.clone();
        swapped.swap(1, 4);
        spoiled.push(committed(swapped));
        let mut other_parity = chunks.clone();
        other_parity[3..].iter_mut().for_each(|chunk| chunk.fill(7));
        spoiled.push(committed(other_parity));
        for pattern in 0u32..1 << 6 {
            let some = |delivery: &Delivery| {
                let received = delivery.received.iter().filter(|chunk| pattern >> chunk.index & 1 == 1).cloned();
                Delivery { received: received.collect(), ..delivery.clone() }
            };
            if pattern.count_ones() < 3 {
                continue;
            }
            assert_eq!(retrieve(&shape, &some(&good)), Ok(data.clone()));
            for delivery in &spoiled {
                assert_eq!(retrieve(&shape, &some(delivery)), Err(Refusal::Encoding), "{code} {pattern:#b}");
            }
        }
    }
}

#[test]
fn a_tree_over_fewer_or_more_chunks_is_refused() {
    let shape = shape_of((3, 2), CODE);
    let (_, good) = delivery(&shape, 70);
    for count in [4, 6, 8] {
        let mut chunks: Vec<Vec<u8>> = good.received.iter().map(|chunk| chunk.bytes.clone()).collect();
        chunks.resize(count, vec![0; 70]);
        let mut other = committed(chunks);
        other.received.truncate(4);
        assert_eq!(retrieve(&shape, &other), Err(Refusal::Proof { index: 0 }));
        other.received.iter_mut().for_each(|chunk| chunk.proof = None);
        assert_eq!(retrieve(&shape, &other), Err(Refusal::Encoding));
    }
}

#[test]
fn a_cancelled_or_malformed_call_gives_no_output() {
    let shape = shape_of((3, 2), CODE);
    let (data, good) = delivery(&shape, 70);
    let control = Control::default();
    control.cancel();
    for (_, backend) in opened::<Disperse>() {
        let prepared = backend.prepare(&shape).unwrap();
        assert!(matches!(prepared.compute(&vec![0; 7], &Control::default()), Err(Error::InvalidInput(_))));
        assert!(matches!(prepared.compute(&vec![], &Control::default()), Err(Error::InvalidInput(_))));
        let mut session = prepared.load(&data).unwrap();
        assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
        assert_eq!(session.execute(&control), Err(Error::Cancelled));
        assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
        assert!(backend.prepare(&Shape { parity_chunks: 0, ..shape }).is_err());
    }
    for (_, backend) in opened::<Retrieve>() {
        let prepared = backend.prepare(&shape).unwrap();
        let mut session = prepared.load(&good).unwrap();
        assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
        assert_eq!(session.execute(&control), Err(Error::Cancelled));
        assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
    }
}

#[test]
fn the_oracle_finds_a_wrong_hash_and_a_wrong_byte() {
    let shape = shape_of((3, 2), CODE);
    let (data, good) = delivery(&shape, 70);
    let backend = Disperse::open(BackendId::Cpu, &Options::default()).unwrap();
    let output = disperse(&*backend, &shape, &data);
    assert_eq!(Disperse::check(&shape, &data, &output), Ok(()));
    let mut wrong = output.clone();
    wrong.parity[71] ^= 1;
    assert_eq!(Disperse::check(&shape, &data, &wrong).unwrap_err().item, 4);
    let mut chunks: Vec<&[u8]> = data.chunks_exact(70).chain(output.parity.chunks_exact(70)).collect();
    chunks[2] = &[0; 70];
    let wrong = Dispersed { tree: Tree::build(&chunks).unwrap(), ..output.clone() };
    assert_eq!(Disperse::check(&shape, &data, &wrong).unwrap_err().item, 2);
    let wrong = Dispersed { tree: Tree::build(&chunks[1..]).unwrap(), ..output };
    assert!(Disperse::check(&shape, &data, &wrong).is_err());
    assert!(Retrieve::check(&shape, &good, &Err(Refusal::Encoding)).is_err());
    let mut wrong = data;
    wrong[140] ^= 1;
    assert_eq!(Retrieve::check(&shape, &good, &Ok(wrong)).unwrap_err().item, 2);
}

#[test]
fn plans_disperse_and_retrieve_bodies_of_every_small_length() {
    for code in Code::ALL {
        let plan = Plan::new(code, 4, 3).unwrap();
        for len in 0..40 {
            let body = splitmix_bytes(len as u64, len);
            let (chunks, tree) = plan.disperse(&body).unwrap();
            assert_eq!(chunks, plan.encode(&body).unwrap());
            assert_eq!(tree, Tree::build(&chunks).unwrap());
            let some = |from: usize, chunks: &[Vec<u8>], tree: &Tree| -> Vec<Delivered> {
                let chunk = |i: usize| Delivered { index: i as u16, bytes: chunks[i].clone(), proof: tree.proof(i) };
                (from..from + 4).map(chunk).collect()
            };
            for from in 0..=3 {
                assert_eq!(plan.retrieve(tree.root(), some(from, &chunks, &tree), len), Ok(body.clone()));
            }
            let refused = plan.retrieve([1; 32], some(1, &chunks, &tree), len);
            assert_eq!(refused, Err(NoBody::Refused(Refusal::Proof { index: 1 })));
            // Bytes behind the body: a code word, but of no body of this length.
            let padded = 4 * plan.chunk_bytes(len);
            if padded > len {
                let mut foreign = body.clone();
                foreign.resize(padded, 0);
                foreign[padded - 1] = 1;
                let (chunks, tree) = plan.disperse(&foreign).unwrap();
                assert_eq!(plan.retrieve(tree.root(), some(2, &chunks, &tree), len), Err(NoBody::Padding));
            }
        }
        assert!(matches!(plan.retrieve([0; 32], Vec::new(), usize::MAX), Err(NoBody::Backend(_))));
        assert!(matches!(plan.retrieve([0; 32], Vec::new(), 9), Err(NoBody::Refused(Refusal::TooFew { .. }))));
    }
}
