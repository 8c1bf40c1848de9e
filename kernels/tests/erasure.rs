//! `erasure/*` and the chunk tree against published vectors, the crate itself, and hostile input.

// Helpers of tests: a failure is the point.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::Value;
use shardmark_kernels::backend::{Backend, BackendId, Control, Error, Isa, Kernel, Options, Unavailable};
use shardmark_kernels::conformance::conformance;
use shardmark_kernels::erasure::merkle::{self, MAX_LEAVES, Proof, Tree};
use shardmark_kernels::erasure::plan::NoBody;
use shardmark_kernels::erasure::{
    Backends, Chunks, Code, Encode, EncodeParams, Plan, Reconstruct, ReconstructParams, Refusal, Shape,
};

#[path = "erasure/disperse.rs"]
mod disperse;
#[path = "erasure/fft.rs"]
mod fft;

const CODE: Code = Code::RsVandermonde;
const SHAPES: [(u16, u16); 6] = [(1, 1), (2, 1), (10, 4), (32, 32), (85, 171), (128, 128)];
const CHUNK_BYTES: [usize; 6] = [1, 2, 63, 64, 65, 1024];

type Opened = (BackendId, usize, Box<dyn Backend<Encode>>, Box<dyn Backend<Reconstruct>>);

/// Every backend that opens, on one thread and on three.
fn backends() -> Vec<Opened> {
    let mut opened = Vec::new();
    for id in BackendId::ALL {
        for threads in [1, 3] {
            let options = Options { threads, ..Options::default() };
            // The conformance suite reports what cannot be opened, and fails where it is required.
            if let (Ok(encode), Ok(reconstruct)) = (Encode::open(id, &options), Reconstruct::open(id, &options)) {
                opened.push((id, threads, encode, reconstruct));
            }
        }
    }
    assert!(!opened.is_empty());
    opened
}

fn encode(backend: &dyn Backend<Encode>, shape: &Shape, data: &Vec<u8>) -> Result<Vec<u8>, Error> {
    backend.prepare(shape)?.compute(data, &Control::default())
}

fn reconstruct(backend: &dyn Backend<Reconstruct>, shape: &Shape, chunks: &Chunks) -> Result<Vec<u8>, Refusal> {
    backend.prepare(shape).unwrap().compute(chunks, &Control::default()).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// The top bytes of splitmix64's outputs.
fn splitmix_bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 56) as u8
        })
        .collect()
}

#[test]
fn encode_conforms_on_every_backend() {
    let shapes: Vec<EncodeParams> = SHAPES
        .iter()
        .flat_map(|&(data_chunks, parity_chunks)| {
            CHUNK_BYTES.map(|chunk_bytes| EncodeParams { code: CODE, data_chunks, parity_chunks, chunk_bytes })
        })
        .collect();
    conformance::<Encode>(&shapes, &[1]);
}

#[test]
fn reconstruct_conforms_on_every_backend_from_no_loss_to_the_most() {
    let mut shapes = Vec::new();
    for (data_chunks, parity_chunks) in SHAPES {
        let most = data_chunks.min(parity_chunks);
        for chunk_bytes in CHUNK_BYTES {
            let mut losses = if chunk_bytes == 65 { vec![0, 1, most / 2, most] } else { vec![most] };
            losses.dedup();
            for missing in losses {
                shapes.push(ReconstructParams { code: CODE, data_chunks, parity_chunks, chunk_bytes, missing });
            }
        }
    }
    conformance::<Reconstruct>(&shapes, &[3]);
}

#[test]
fn parity_equals_the_published_bytes_and_every_backend_agrees() {
    let vectors = json(include_str!("../vectors/erasure/rs-vandermonde.json"));
    let chunk_bytes = number(&vectors["chunk_bytes"]) as usize;
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let (k, m) = (number(&case["data_chunks"]) as u16, number(&case["parity_chunks"]) as u16);
        let shape = Shape::new(CODE, k, m).unwrap();
        let data = splitmix_bytes(number(&case["seed"]), shape.k() * chunk_bytes);
        let want: Vec<u8> =
            case["parity"].as_array().unwrap().iter().flat_map(|p| hex::decode(p.as_str().unwrap()).unwrap()).collect();
        // The oracle first: without it the vectors would only pin the backends.
        Encode::check(&shape, &data, &want).unwrap();
        for (id, threads, encoder, decoder) in backends() {
            assert!(encode(&*encoder, &shape, &data).unwrap() == want, "{id} {threads} ({k}, {m})");
            // All parity, and data only where parity is short.
            let parity = want.chunks_exact(chunk_bytes).zip(k..).map(|(c, i)| (i, c.to_vec())).take(shape.k());
            let fill = data.chunks_exact(chunk_bytes).zip(0u16..).map(|(c, i)| (i, c.to_vec()));
            let received: Vec<_> = parity.chain(fill.take(shape.k().saturating_sub(shape.m()))).collect();
            assert_eq!(reconstruct(&*decoder, &shape, &Chunks { chunk_bytes, received }), Ok(data.clone()));
        }
    }
}

#[test]
fn the_oracle_finds_one_wrong_byte_anywhere() {
    let params = EncodeParams { code: CODE, data_chunks: 10, parity_chunks: 4, chunk_bytes: 65 };
    let shape = params.shape();
    let data = Encode::generate(&params, &shape, 1, 0);
    let parity = encode(&*Encode::open(BackendId::Cpu, &Options::default()).unwrap(), &shape, &data).unwrap();
    for at in 0..parity.len() {
        let mut wrong = parity.clone();
        wrong[at] ^= 1 << (at % 8);
        assert_eq!(Encode::check(&shape, &data, &wrong).unwrap_err().item, 10 + at / 65);
    }
    assert!(Encode::check(&shape, &data, &parity[1..].to_vec()).is_err());
    assert!(Encode::check(&shape, &data, &Vec::new()).is_err());

    let params = ReconstructParams { code: CODE, data_chunks: 10, parity_chunks: 4, chunk_bytes: 65, missing: 3 };
    let chunks = Reconstruct::generate(&params, &shape, 1, 0);
    let backend = Reconstruct::open(BackendId::Cpu, &Options::default()).unwrap();
    let data = reconstruct(&*backend, &shape, &chunks).unwrap();
    Reconstruct::check(&shape, &chunks, &Ok(data.clone())).unwrap();
    for at in 0..data.len() {
        let mut wrong = data.clone();
        wrong[at] ^= 1 << (at % 8);
        assert_eq!(Reconstruct::check(&shape, &chunks, &Ok(wrong)).unwrap_err().item, at / 65);
    }
    assert!(Reconstruct::check(&shape, &chunks, &Err(Refusal::TooFew { got: 1, want: 10 })).is_err());
}

#[test]
fn every_pattern_of_a_small_code_gives_the_data_back() {
    let shape = Shape::new(CODE, 3, 4).unwrap();
    let data = splitmix_bytes(9, 3 * 5);
    for (_, _, encoder, decoder) in backends() {
        let parity = encode(&*encoder, &shape, &data).unwrap();
        let all: Vec<(u16, Vec<u8>)> =
            data.chunks_exact(5).chain(parity.chunks_exact(5)).zip(0..).map(|(c, i)| (i, c.to_vec())).collect();
        for pattern in 0u32..1 << 7 {
            let received: Vec<_> = all.iter().filter(|(i, _)| pattern >> i & 1 == 1).cloned().collect();
            let got = reconstruct(&*decoder, &shape, &Chunks { chunk_bytes: 5, received });
            match pattern.count_ones() as usize {
                few @ 0..3 => assert_eq!(got, Err(Refusal::TooFew { got: few, want: 3 })),
                _ => assert_eq!(got, Ok(data.clone()), "{pattern:#b}"),
            }
        }
    }
}

#[test]
fn each_fault_of_a_chunk_set_has_its_own_reason() {
    let shape = Shape::new(CODE, 3, 2).unwrap();
    let chunk = |index: u16| (index, vec![7; 4]);
    let cases = [
        (4, vec![], Refusal::TooFew { got: 0, want: 3 }),
        (4, vec![chunk(0), chunk(4)], Refusal::TooFew { got: 2, want: 3 }),
        // A repetition neither counts as a chunk nor replaces one, even where the rest would do.
        (4, vec![chunk(0), chunk(4), chunk(4)], Refusal::Duplicate { index: 4 }),
        (4, vec![chunk(0), chunk(1), chunk(2), chunk(0)], Refusal::Duplicate { index: 0 }),
        (4, vec![chunk(0), chunk(1), chunk(2), (0, vec![8; 4])], Refusal::Duplicate { index: 0 }),
        (4, vec![chunk(0), chunk(1), chunk(5)], Refusal::IndexOutOfRange { index: 5, total: 5 }),
        (4, vec![chunk(0), chunk(1), chunk(u16::MAX)], Refusal::IndexOutOfRange { index: u16::MAX, total: 5 }),
        (4, vec![chunk(0), chunk(1), (3, vec![7; 3])], Refusal::Length { index: 3, got: 3, want: 4 }),
        (4, vec![chunk(0), chunk(1), chunk(2), (3, vec![])], Refusal::Length { index: 3, got: 0, want: 4 }),
        (0, vec![(0, vec![]), (1, vec![]), (2, vec![])], Refusal::ChunkBytes { chunk_bytes: 0 }),
        (usize::MAX, vec![], Refusal::ChunkBytes { chunk_bytes: usize::MAX }),
        // Several faults: the first chunk that has one.
        (4, vec![chunk(9), (0, vec![])], Refusal::IndexOutOfRange { index: 9, total: 5 }),
        (4, vec![(0, vec![]), chunk(9)], Refusal::Length { index: 0, got: 0, want: 4 }),
    ];
    for (chunk_bytes, received, reason) in cases {
        let chunks = Chunks { chunk_bytes, received };
        for (_, _, _, decoder) in backends() {
            assert_eq!(reconstruct(&*decoder, &shape, &chunks), Err(reason.clone()));
        }
    }
}

#[test]
fn input_of_a_wrong_length_is_an_error() {
    let shape = Shape::new(CODE, 10, 4).unwrap();
    for (_, _, encoder, _) in backends() {
        for len in [0, 1, 9, 11, 639, 641] {
            assert!(matches!(encode(&*encoder, &shape, &vec![0; len]), Err(Error::InvalidInput(_))), "{len}");
        }
        assert!(encode(&*encoder, &shape, &vec![0; 640]).is_ok());
    }
}

#[test]
fn shapes_that_the_code_lacks_are_refused_when_prepared() {
    for (data_chunks, parity_chunks) in [(0, 4), (4, 0), (129, 128), (u16::MAX, u16::MAX)] {
        let shape = Shape { code: CODE, data_chunks, parity_chunks };
        for (_, _, encoder, decoder) in backends() {
            assert!(matches!(encoder.prepare(&shape), Err(Error::InvalidInput(_))));
            assert!(matches!(decoder.prepare(&shape), Err(Error::InvalidInput(_))));
        }
        assert!(Plan::new(CODE, data_chunks, parity_chunks).is_err());
        let params = EncodeParams { code: CODE, data_chunks, parity_chunks, chunk_bytes: 1 };
        assert!(Encode::validate(&params).is_err());
    }
    let params = |chunk_bytes, missing| ReconstructParams {
        code: CODE,
        data_chunks: 10,
        parity_chunks: 4,
        chunk_bytes,
        missing,
    };
    assert!(Reconstruct::validate(&params(1, 4)).is_ok());
    assert!(Reconstruct::validate(&params(1, 5)).is_err());
    assert!(Reconstruct::validate(&params(0, 4)).is_err());
    assert!(Reconstruct::validate(&params(usize::MAX, 4)).is_err());
}

#[test]
fn parameters_with_unknown_keys_or_codes_are_refused() {
    let good = r#"{"code":"rs-vandermonde","data_chunks":10,"parity_chunks":4,"chunk_bytes":64}"#;
    assert!(serde_json::from_str::<EncodeParams>(good).is_ok());
    assert!(serde_json::from_str::<EncodeParams>(&good.replace("}", r#","x":1}"#)).is_err());
    assert!(serde_json::from_str::<EncodeParams>(&good.replace("rs-", "xy-")).is_err());
    assert!(serde_json::from_str::<EncodeParams>(&good.replace("10", "-1")).is_err());
}

#[test]
fn backends_that_are_absent_or_misdirected_say_so() {
    let open = |id, options: &Options| Encode::open(id, options).err();
    assert_eq!(open(BackendId::Cuda, &Options::default()), Some(Unavailable::NotImplemented));
    let refused = [
        Options { threads: 0, ..Options::default() },
        Options { threads: usize::MAX, ..Options::default() },
        Options { isa: Some(Isa::Avx2), ..Options::default() },
        Options { device: Some(0), ..Options::default() },
    ];
    for options in refused {
        assert!(matches!(open(BackendId::Cpu, &options), Some(Unavailable::Options(_))), "{options:?}");
    }
}

#[test]
fn a_cancelled_call_gives_no_output() {
    let params = ReconstructParams { code: CODE, data_chunks: 10, parity_chunks: 4, chunk_bytes: 64, missing: 4 };
    let shape = params.shape();
    let chunks = Reconstruct::generate(&params, &shape, 1, 0);
    let control = Control::default();
    control.cancel();
    for (_, _, _, decoder) in backends() {
        let prepared = decoder.prepare(&shape).unwrap();
        let mut session = prepared.load(&chunks).unwrap();
        assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
        assert_eq!(session.execute(&control), Err(Error::Cancelled));
        assert!(matches!(session.output(), Err(Error::InvalidInput(_))));
    }
}

#[test]
fn bodies_of_every_small_length_come_back_and_foreign_padding_does_not() {
    let plan = Plan::new(CODE, 4, 3).unwrap();
    for len in 0..70 {
        let body = splitmix_bytes(len as u64, len);
        let chunks = plan.encode(&body).unwrap();
        assert_eq!(chunks.len(), 7);
        assert!(chunks.iter().all(|chunk| chunk.len() == plan.chunk_bytes(len)));
        assert_eq!(plan.chunk_bytes(len), len.div_ceil(4).max(1));
        let any_four = |from: u16| (from..from + 4).map(|i| (i, chunks[usize::from(i)].clone())).collect::<Vec<_>>();
        for from in 0..=3 {
            assert_eq!(plan.reconstruct(any_four(from), len), Ok(body.clone()));
        }
        // A length that gives another chunk size, and one byte of padding that is not zero.
        assert!(matches!(plan.reconstruct(any_four(1), len + 400), Err(NoBody::Refused(Refusal::Length { .. }))));
        let padded = 4 * plan.chunk_bytes(len);
        if padded > len {
            let mut foreign = body.clone();
            foreign.resize(padded, 0);
            foreign[padded - 1] = 1;
            let chunks = plan.encode(&foreign).unwrap();
            let received = (2..6).map(|i| (i, chunks[usize::from(i)].clone())).collect();
            assert_eq!(plan.reconstruct(received, len), Err(NoBody::Padding));
        }
    }
    assert!(matches!(plan.reconstruct(Vec::new(), usize::MAX), Err(NoBody::Backend(Error::InvalidInput(_)))));
}

#[test]
fn a_plan_runs_on_the_backends_it_is_given() {
    let shape = Shape::new(CODE, 10, 4).unwrap();
    let options = Options { threads: 2, ..Options::default() };
    let backends = Backends::open(BackendId::Cpu, &options, shape).unwrap();
    let plan = Plan::prepare(&backends).unwrap();
    let body = splitmix_bytes(5, 12_345);
    assert_eq!(plan.shape(), shape);
    assert_eq!(plan.encode(&body).unwrap(), Plan::new(CODE, 10, 4).unwrap().encode(&body).unwrap());
    assert_eq!(Backends::open(BackendId::Cuda, &options, shape).err(), Some(Unavailable::NotImplemented));
}

#[test]
fn trees_equal_those_of_the_independent_script() {
    let vectors = json(include_str!("../vectors/erasure/merkle.json"));
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let (leaves, len) = (number(&case["leaves"]) as usize, number(&case["chunk_bytes"]) as usize);
        let byte = |i: usize, j: usize| (31 * i + 7 * j + number(&case["case"]) as usize) as u8;
        let chunks: Vec<Vec<u8>> = (0..leaves).map(|i| (0..len).map(|j| byte(i, j)).collect()).collect();
        let tree = Tree::build(&chunks).unwrap();
        assert_eq!(hex::encode(tree.root()), case["root"].as_str().unwrap());
        for (index, want) in case["proofs"].as_object().unwrap() {
            let index: usize = index.parse().unwrap();
            let proof = tree.proof(index).unwrap();
            let got: Vec<Value> = proof.siblings.iter().map(|s| hex::encode(s).into()).collect();
            assert_eq!(&got, want.as_array().unwrap());
            assert!(merkle::verify(&tree.root(), leaves, index, &chunks[index], &proof));
        }
    }
}

#[test]
fn trees_without_leaves_or_with_too_many_are_refused() {
    assert!(Tree::build::<&[u8]>(&[]).is_err());
    assert!(Tree::build(&[[0u8; 0]; MAX_LEAVES + 1]).is_err());
    let full = Tree::build(&[[0u8; 0]; MAX_LEAVES]).unwrap();
    let proof = full.proof(MAX_LEAVES - 1).unwrap();
    assert_eq!((proof.siblings.len(), merkle::proof_len(MAX_LEAVES)), (16, 16));
    assert!(merkle::verify(&full.root(), MAX_LEAVES, MAX_LEAVES - 1, &[], &proof));
    assert_eq!(full.proof(MAX_LEAVES), None);
    for leaves in [0, MAX_LEAVES + 1, usize::MAX] {
        assert!(!merkle::verify(&full.root(), leaves, 0, &[], &proof));
    }
    let lengths: Vec<usize> = [0, 1, 2, 3, 4, 5, 256, 257].map(merkle::proof_len).into();
    assert_eq!(lengths, [0, 0, 1, 2, 2, 3, 8, 9]);
    assert_eq!(merkle::proof_len(usize::MAX), usize::MAX);
}

/// Whoever makes the root may hash anything into it, also a chunk where the padding belongs.
#[test]
fn a_chunk_hidden_in_the_padding_is_refused_by_its_index() {
    let hash = |parts: &[&[u8]]| -> merkle::Hash { blake3::hash(&parts.concat()).into() };
    let leaf = |index: u32| hash(&[&[0], &index.to_le_bytes(), b"chunk"]);
    let left = hash(&[&[1], &leaf(0), &leaf(1)]);
    let right = hash(&[&[1], &leaf(2), &leaf(3)]);
    let top = hash(&[&[1], &left, &right]);
    let root = |leaves: u32| hash(&[&[3], &leaves.to_le_bytes(), &top]);
    let third = Proof { siblings: vec![leaf(3), left] };
    let fourth = Proof { siblings: vec![leaf(2), left] };
    assert!(merkle::verify(&root(4), 4, 3, b"chunk", &fourth));
    assert!(merkle::verify(&root(3), 3, 2, b"chunk", &third));
    assert!(!merkle::verify(&root(3), 3, 3, b"chunk", &fourth));
}

/// Any code, in shapes of every class of its points; chunks of whole symbols.
fn shape_and_chunk() -> impl Strategy<Value = (Shape, usize)> {
    let counts = prop_oneof![8 => (1u16..=40, 1u16..=40), 1 => (1u16..=128, 1u16..=128), 1 => Just((85, 171))];
    (prop::sample::select(&Code::ALL[..]), counts, 1usize..200).prop_map(|(code, (k, m), chunk_bytes)| {
        (Shape::new(code, k, m).unwrap(), chunk_bytes.next_multiple_of(code.symbol_bytes()))
    })
}

fn vandermonde_and_chunk() -> impl Strategy<Value = (Shape, usize)> {
    let shape = (1u16..=40, 1u16..=40).prop_map(|(k, m)| Shape::new(CODE, k, m).unwrap());
    (shape, 1usize..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_verbs_equal_the_crate((shape, chunk_bytes) in vandermonde_and_chunk(), seed: u64, order: u64) {
        let (k, total) = (shape.k(), shape.total());
        let data = splitmix_bytes(seed, k * chunk_bytes);
        let rs = reed_solomon_erasure::galois_8::ReedSolomon::new(k, shape.m()).unwrap();
        let mut rows: Vec<Vec<u8>> = data.chunks_exact(chunk_bytes).map(<[u8]>::to_vec).collect();
        rows.resize(total, vec![0; chunk_bytes]);
        rs.encode(&mut rows).unwrap();
        // k or more chunks in an arbitrary order.
        let mut indices: Vec<usize> = (0..total).collect();
        indices.sort_by_key(|i| splitmix_bytes(order ^ *i as u64, 8));
        indices.truncate(k + order as usize % (shape.m() + 1));
        let received: Vec<(u16, Vec<u8>)> = indices.iter().map(|i| (*i as u16, rows[*i].clone())).collect();
        let mut theirs: Vec<Option<Vec<u8>>> = vec![None; total];
        received.iter().for_each(|(i, chunk)| theirs[usize::from(*i)] = Some(chunk.clone()));
        rs.reconstruct_data(&mut theirs).unwrap();
        let theirs: Vec<u8> = theirs.into_iter().take(k).flat_map(|chunk| chunk.unwrap()).collect();
        let chunks = Chunks { chunk_bytes, received };
        for (id, threads, encoder, decoder) in backends() {
            prop_assert_eq!(encode(&*encoder, &shape, &data).unwrap(), rows[k..].concat(), "{} {}", id, threads);
            prop_assert_eq!(reconstruct(&*decoder, &shape, &chunks), Ok(theirs.clone()), "{} {}", id, threads);
        }
        Reconstruct::check(&shape, &chunks, &Ok(theirs)).unwrap();
    }

    /// Chunks that contradict each other: no panic, and the bytes that the documented rule fixes, on every backend.
    #[test]
    fn arbitrary_chunks_give_what_the_rule_says(
        (shape, chunk_bytes) in shape_and_chunk(),
        claimed in prop_oneof![9 => Just(None), 1 => any::<usize>().prop_map(Some)],
        received in prop::collection::vec((0u16..80, prop::bool::weighted(0.003), any::<u64>()), 0..90),
        unique: bool,
    ) {
        let mut seen = std::collections::HashSet::new();
        let received: Vec<(u16, Vec<u8>)> = received
            .into_iter()
            .filter(|(i, _, _)| usize::from(*i) <= shape.total() - usize::from(unique))
            .filter(|(i, _, _)| seen.insert(*i) || !unique)
            .map(|(i, odd, seed)| (i, splitmix_bytes(seed, chunk_bytes + usize::from(odd))))
            .collect();
        let chunks = Chunks { chunk_bytes: claimed.unwrap_or(chunk_bytes), received };
        let mut outputs = Vec::new();
        for (_, _, _, decoder) in backends() {
            let output = reconstruct(&*decoder, &shape, &chunks);
            Reconstruct::check(&shape, &chunks, &output).unwrap();
            outputs.push(output);
        }
        prop_assert!(outputs.iter().all(|output| *output == outputs[0]));
        // Written out once more, without the kernel's own order of checks: what must be refused is refused.
        let distinct: std::collections::HashSet<u16> = chunks.received.iter().map(|(i, _)| *i).collect();
        let fine = distinct.len() == chunks.received.len()
            && distinct.len() >= shape.k()
            && chunks.received.iter().all(|(i, c)| usize::from(*i) < shape.total() && c.len() == chunks.chunk_bytes)
            && shape.validate_chunk_bytes(chunks.chunk_bytes).is_ok();
        prop_assert_eq!(outputs[0].is_ok(), fine);
    }

    #[test]
    fn a_body_survives_any_loss_that_leaves_k_chunks(
        (shape, _) in shape_and_chunk(),
        body in prop::collection::vec(any::<u8>(), 0..3000),
        order: u64,
    ) {
        let plan = Plan::new(shape.code, shape.data_chunks, shape.parity_chunks).unwrap();
        let chunks = plan.encode(&body).unwrap();
        let tree = Tree::build(&chunks).unwrap();
        let mut received: Vec<(u16, Vec<u8>)> = chunks.into_iter().zip(0u16..).map(|(c, i)| (i, c)).collect();
        received.sort_by_key(|(i, _)| splitmix_bytes(order ^ u64::from(*i), 8));
        received.truncate(shape.k());
        for (i, chunk) in &received {
            let proof = tree.proof(usize::from(*i)).unwrap();
            prop_assert!(merkle::verify(&tree.root(), shape.total(), usize::from(*i), chunk, &proof));
        }
        let got = plan.reconstruct(received, body.len()).unwrap();
        prop_assert_eq!(&got, &body);
        prop_assert_eq!(Tree::build(&plan.encode(&got).unwrap()).unwrap().root(), tree.root());
    }

    #[test]
    fn a_proof_shows_its_own_chunk_at_its_own_place_and_nothing_else(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..40),
        index: prop::sample::Index,
        other: prop::sample::Index,
        bit: prop::sample::Index,
        stray: [u8; 32],
    ) {
        let leaves = chunks.len();
        let (i, j) = (index.index(leaves), other.index(leaves));
        let tree = Tree::build(&chunks).unwrap();
        let (root, proof, chunk) = (tree.root(), tree.proof(i).unwrap(), &chunks[i]);
        prop_assert_eq!(tree.leaves(), leaves);
        prop_assert!(merkle::verify(&root, leaves, i, chunk, &proof));
        // Another place, another count, another chunk.
        prop_assert_eq!(merkle::verify(&root, leaves, j, chunk, &proof), i == j);
        for count in [leaves - 1, leaves + 1, leaves * 2, leaves.next_power_of_two()] {
            prop_assert_eq!(merkle::verify(&root, count, i, chunk, &proof), count == leaves);
        }
        let mut longer = chunk.clone();
        longer.push(0);
        prop_assert!(!merkle::verify(&root, leaves, i, &longer, &proof));
        if let Some((_, shorter)) = chunk.split_last() {
            prop_assert!(!merkle::verify(&root, leaves, i, shorter, &proof));
        }
        // A place behind the last chunk, which the padding fills.
        prop_assert!(!merkle::verify(&root, leaves, leaves, &[], &proof));
        // Flipped bits, a missing and a further sibling.
        if !proof.siblings.is_empty() {
            let at = bit.index(proof.siblings.len() * 256);
            let mut flipped = proof.clone();
            flipped.siblings[at / 256][at / 8 % 32] ^= 1 << (at % 8);
            prop_assert!(!merkle::verify(&root, leaves, i, chunk, &flipped));
            let short = Proof { siblings: proof.siblings[1..].to_vec() };
            prop_assert!(!merkle::verify(&root, leaves, i, chunk, &short));
        }
        let mut long = proof.clone();
        long.siblings.push(stray);
        prop_assert!(!merkle::verify(&root, leaves, i, chunk, &long));
        let mut other_root = root;
        other_root[bit.index(32)] ^= 1;
        prop_assert!(!merkle::verify(&other_root, leaves, i, chunk, &proof));
        // Any change to any chunk changes the root.
        let mut changed = chunks.clone();
        changed[j].push(1);
        prop_assert_ne!(Tree::build(&changed).unwrap().root(), root);
    }
}
