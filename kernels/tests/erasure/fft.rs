//! The additive-FFT codes: conformance in every shape class, published bytes, every small pattern.

use super::*;

const FFT8: Code = Code::RsFft8;
const FFT16: Code = Code::RsFft16;

/// High rate with and without padding, low rate likewise, full; one chunk; k and m far apart.
const SHAPES_8: [(u16, u16); 16] = [
    (1, 1),
    (1, 5),
    (5, 1),
    (2, 3),
    (3, 2),
    (10, 4),
    (4, 10),
    (17, 8),
    (32, 32),
    (48, 5),
    (5, 48),
    (100, 120),
    (85, 171),
    (171, 85),
    (128, 128),
    (64, 192),
];
const SHAPES_16: [(u16, u16); 8] = [(1, 1), (3, 4), (4, 3), (10, 4), (4, 10), (32, 32), (85, 171), (342, 681)];

fn shapes(code: Code) -> Vec<Shape> {
    let shapes = if code == FFT8 { &SHAPES_8[..] } else { &SHAPES_16[..] };
    shapes.iter().map(|&(k, m)| Shape::new(code, k, m).unwrap()).collect()
}

#[test]
fn encode_conforms_in_every_shape_class() {
    for code in [FFT8, FFT16] {
        let mut params = Vec::new();
        for Shape { data_chunks, parity_chunks, .. } in shapes(code) {
            for chunk_bytes in [1, 2, 62, 63, 64, 65, 66, 126, 128, 1000, 1024] {
                let large = data_chunks > 200 && chunk_bytes > 66;
                if chunk_bytes % code.symbol_bytes() == 0 && !large {
                    params.push(EncodeParams { code, data_chunks, parity_chunks, chunk_bytes });
                }
            }
        }
        conformance::<Encode>(&params, &[1]);
    }
}

#[test]
fn reconstruct_conforms_in_every_shape_class_from_no_loss_to_the_most() {
    for code in [FFT8, FFT16] {
        let mut params = Vec::new();
        for Shape { data_chunks, parity_chunks, .. } in shapes(code) {
            let most = data_chunks.min(parity_chunks);
            for chunk_bytes in [2, 63, 64, 66, 200] {
                if chunk_bytes % code.symbol_bytes() != 0 || data_chunks > 200 && chunk_bytes > 66 {
                    continue;
                }
                let mut losses = if chunk_bytes == 66 { vec![0, 1, 2, most / 2, most - 1, most] } else { vec![most] };
                losses.sort_unstable();
                losses.dedup();
                for missing in losses.into_iter().filter(|missing| *missing <= most) {
                    params.push(ReconstructParams { code, data_chunks, parity_chunks, chunk_bytes, missing });
                }
            }
        }
        conformance::<Reconstruct>(&params, &[3]);
    }
}

/// Leopard's and reed-solomon-simd's bytes.
#[test]
fn parity_equals_the_published_bytes() {
    for (code, text, count) in [
        (FFT8, include_str!("../../vectors/erasure/rs-fft8.json"), 7),
        (FFT16, include_str!("../../vectors/erasure/rs-fft16.json"), 8),
    ] {
        let vectors = json(text);
        let chunk_bytes = number(&vectors["chunk_bytes"]) as usize;
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), count);
        for case in cases {
            let (k, m) = (number(&case["data_chunks"]) as u16, number(&case["parity_chunks"]) as u16);
            let shape = Shape::new(code, k, m).unwrap();
            let data = splitmix_bytes(number(&case["seed"]), shape.k() * chunk_bytes);
            let parity = case["parity"].as_array().unwrap().iter();
            let want: Vec<u8> = parity.flat_map(|p| hex::decode(p.as_str().unwrap()).unwrap()).collect();
            Encode::check(&shape, &data, &want).unwrap();
            for (id, threads, encoder, _) in backends() {
                assert!(encode(&*encoder, &shape, &data).unwrap() == want, "{code} {id} {threads} ({k}, {m})");
            }
        }
    }
}

/// JAM codes columns of one symbol a chunk: in `rs-fft16`, chunks of 2 bytes.
#[test]
fn jam_shards_are_rs_fft16_column_by_column() {
    let vectors = json(include_str!("../../vectors/erasure/jam.json"));
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for case in cases {
        let (k, m) = (number(&case["data_chunks"]) as u16, number(&case["parity_chunks"]) as u16);
        let shape = Shape::new(FFT16, k, m).unwrap();
        let shards = case["shards"].as_array().unwrap().iter().map(|s| hex::decode(s.as_str().unwrap()).unwrap());
        let shards: Vec<Vec<u8>> = shards.collect();
        let columns = shards[0].len() / 2;
        let mut data = hex::decode(case["data"].as_str().unwrap()).unwrap();
        data.resize(shape.k() * columns * 2, 0);
        for column in (0..columns).step_by(columns.div_ceil(16)) {
            let symbol = |shard: &Vec<u8>| shard[2 * column..2 * column + 2].to_vec();
            let input: Vec<u8> =
                (0..shape.k()).flat_map(|i| data[2 * (i * columns + column)..][..2].to_vec()).collect();
            let chunks: Vec<u8> = shards.iter().flat_map(symbol).collect();
            assert_eq!(chunks[..2 * shape.k()], input);
            for (id, threads, encoder, _) in backends() {
                let parity = encode(&*encoder, &shape, &input).unwrap();
                assert!(chunks[2 * shape.k()..] == parity, "{id} {threads} ({k}, {m}) column {column}");
            }
        }
    }
}

#[test]
fn every_pattern_of_small_codes_gives_the_data_back() {
    for (k, m) in [(3, 4), (4, 3), (5, 2), (2, 5), (1, 4)] {
        for code in [FFT8, FFT16] {
            let shape = Shape::new(code, k, m).unwrap();
            let data = splitmix_bytes(9, shape.k() * 6);
            for (_, _, encoder, decoder) in backends() {
                let parity = encode(&*encoder, &shape, &data).unwrap();
                let chunks = data.chunks_exact(6).chain(parity.chunks_exact(6));
                let all: Vec<(u16, Vec<u8>)> = chunks.zip(0..).map(|(c, i)| (i, c.to_vec())).collect();
                for pattern in 0u32..1 << shape.total() {
                    let received: Vec<_> = all.iter().filter(|(i, _)| pattern >> i & 1 == 1).cloned().collect();
                    let got = reconstruct(&*decoder, &shape, &Chunks { chunk_bytes: 6, received });
                    match pattern.count_ones() as usize {
                        few if few < shape.k() => {
                            assert_eq!(got, Err(Refusal::TooFew { got: few, want: shape.k() }));
                        }
                        _ => assert_eq!(got, Ok(data.clone()), "{code} ({k}, {m}) {pattern:#b}"),
                    }
                }
            }
        }
    }
}

/// Everything up to the most that a code allows, by what must hold of any: chunks sent are chunks restored.
#[test]
fn the_largest_shapes_come_back_from_the_last_chunks() {
    for (code, k, m) in [
        (FFT16, 1000u16, 3000u16),
        (FFT16, 60_000, 5),
        (FFT16, 5, 60_000),
        (FFT16, 21_845, 43_690),
        (FFT16, 32_768, 32_768),
        (FFT8, 255, 1),
        (FFT8, 1, 255),
        (FFT8, 200, 56),
        (FFT8, 56, 200),
    ] {
        let shape = Shape::new(code, k, m).unwrap();
        let data = splitmix_bytes(4, shape.k() * 2);
        let cpu = Options::default();
        for id in [BackendId::Cpu, BackendId::Simd] {
            let (Ok(encoder), Ok(decoder)) = (Encode::open(id, &cpu), Reconstruct::open(id, &cpu)) else { continue };
            let parity = encode(&*encoder, &shape, &data).unwrap();
            let last = data.chunks_exact(2).chain(parity.chunks_exact(2)).zip(0u16..=u16::MAX).skip(shape.m());
            let received = last.map(|(chunk, i)| (i, chunk.to_vec())).collect();
            let got = reconstruct(&*decoder, &shape, &Chunks { chunk_bytes: 2, received });
            assert!(got == Ok(data.clone()), "{id} {code} ({k}, {m})");
        }
    }
}

#[test]
fn chunks_of_half_a_symbol_are_refused() {
    let shape = Shape::new(FFT16, 3, 2).unwrap();
    for (_, _, encoder, decoder) in backends() {
        assert!(matches!(encode(&*encoder, &shape, &vec![0; 9]), Err(Error::InvalidInput(_))));
        let received = (0..3).map(|i| (i, vec![0; 3])).collect();
        let got = reconstruct(&*decoder, &shape, &Chunks { chunk_bytes: 3, received });
        assert_eq!(got, Err(Refusal::ChunkBytes { chunk_bytes: 3 }));
    }
    let plan = Plan::new(FFT16, 3, 2).unwrap();
    assert_eq!([0, 1, 3, 6, 7].map(|len| plan.chunk_bytes(len)), [2, 2, 2, 2, 4]);
    let body = splitmix_bytes(1, 7);
    let chunks = plan.encode(&body).unwrap();
    assert_eq!(plan.reconstruct((2..5).map(|i| (i, chunks[usize::from(i)].clone())).collect(), 7), Ok(body));
}
