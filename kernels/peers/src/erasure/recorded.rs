//! Peers that are not built here, by their recorded ratio to one that is.
//!
//! The rates are of one core of an AMD Zen 3 (AVX2, no GFNI, 3.05 GHz): 10^6 data bytes a second, tenth percentile of slices,
//! best of three runs and more; all `min(k, m)` originals lost for reconstruction. leopard and Firedancer are C, klauspost is Go
//! with one goroutine. reed-solomon-simd 3.1.0 and ISA-L 2.30 ran in the same way. A ratio of two of them carries over to
//! another machine only as far as both suffer alike from it, which nobody has checked.

const LEOPARD: &str = "leopard 6e5725e";
const FIREDANCER: &str = "Firedancer fd_reedsol 178b48f";
const KLAUSPOST_CAUCHY: &str = "klauspost/reedsolomon 0596408 cauchy";
const KLAUSPOST_8: &str = "klauspost/reedsolomon 0596408 leopard8";
const KLAUSPOST_16: &str = "klauspost/reedsolomon 0596408 leopard16";

/// A library of this comparison that the others were recorded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// At most shapes.
    ReedSolomonSimd,
    /// At (10,4), where the FFT of the other one works on padding.
    IsaL,
}

impl Reference {
    /// The one that the ratios of this shape refer to.
    pub fn of(k: usize, m: usize) -> Self {
        if (k, m) == (10, 4) { Self::IsaL } else { Self::ReedSolomonSimd }
    }
}

/// Whether data was encoded or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Data to parity.
    Encode,
    /// All data chunks that parity can replace were lost.
    RestoreMost,
}

struct Shape {
    verb: Verb,
    k: usize,
    m: usize,
    body_bytes: &'static [usize],
    /// Of the shape's reference, by body size.
    reference: &'static [f64],
    peers: &'static [(&'static str, &'static [f64])],
}

const BODIES: &[usize] = &[128 << 10, 1 << 20, 8 << 20];
/// One forward-error-correction set of 32 chunks of 1 KiB.
const SET: &[usize] = &[32 << 10];

use Verb::{Encode, RestoreMost};

#[rustfmt::skip]
const RECORDED: &[Shape] = &[
    Shape { verb: Encode, k: 10, m: 4, body_bytes: BODIES, reference: &[11_582.0, 11_275.0, 11_338.0], peers: &[
        (LEOPARD, &[16_567.0, 14_807.0, 13_445.0]),
        (FIREDANCER, &[12_800.0, 11_794.0, 12_347.0]),
        (KLAUSPOST_CAUCHY, &[14_167.0, 15_915.0, 14_483.0]),
        (KLAUSPOST_8, &[16_533.0, 15_937.0, 14_460.0]),
    ] },
    Shape { verb: Encode, k: 32, m: 32, body_bytes: SET, reference: &[5_128.0], peers: &[
        (LEOPARD, &[7_253.0]),
        (FIREDANCER, &[7_424.0]),
    ] },
    Shape { verb: Encode, k: 32, m: 32, body_bytes: BODIES, reference: &[5_137.0, 4_701.0, 3_400.0], peers: &[
        (LEOPARD, &[7_235.0, 6_843.0, 5_889.0]),
        (FIREDANCER, &[6_730.0, 6_063.0, 5_559.0]),
        (KLAUSPOST_CAUCHY, &[1_260.0, 1_240.0, 1_263.0]),
        (KLAUSPOST_8, &[5_322.0, 6_649.0, 6_840.0]),
    ] },
    Shape { verb: Encode, k: 64, m: 64, body_bytes: BODIES, reference: &[4_317.0, 4_003.0, 3_001.0], peers: &[
        (LEOPARD, &[6_182.0, 6_114.0, 5_854.0]),
        (FIREDANCER, &[3_738.0, 3_614.0, 2_959.0]),
        (KLAUSPOST_CAUCHY, &[735.0, 548.0, 614.0]),
        (KLAUSPOST_8, &[4_266.0, 5_808.0, 5_917.0]),
    ] },
    Shape { verb: Encode, k: 85, m: 171, body_bytes: BODIES, reference: &[1_857.0, 1_494.0, 1_164.0], peers: &[
        (KLAUSPOST_CAUCHY, &[257.0, 341.0, 232.0]),
        (KLAUSPOST_16, &[1_562.0, 1_658.0, 1_040.0]),
    ] },
    Shape { verb: Encode, k: 128, m: 128, body_bytes: BODIES, reference: &[3_558.0, 3_477.0, 2_667.0], peers: &[
        (LEOPARD, &[5_073.0, 4_849.0, 4_409.0]),
        (KLAUSPOST_CAUCHY, &[288.0, 309.0, 310.0]),
        (KLAUSPOST_8, &[2_053.0, 3_442.0, 4_677.0]),
    ] },
    Shape { verb: Encode, k: 667, m: 1333, body_bytes: BODIES, reference: &[1_063.0, 1_238.0, 712.0], peers: &[
        (KLAUSPOST_16, &[417.0, 950.0, 684.0]),
    ] },
    Shape { verb: RestoreMost, k: 10, m: 4, body_bytes: BODIES, reference: &[8_054.0, 10_662.0, 11_162.0], peers: &[
        (LEOPARD, &[5_004.0, 4_687.0, 3_921.0]),
        (FIREDANCER, &[3_694.0, 3_404.0, 3_488.0]),
        (KLAUSPOST_CAUCHY, &[10_409.0, 14_389.0, 14_060.0]),
        (KLAUSPOST_8, &[3_894.0, 3_532.0, 3_622.0]),
    ] },
    Shape { verb: RestoreMost, k: 32, m: 32, body_bytes: SET, reference: &[147.0], peers: &[
        (LEOPARD, &[2_443.0]),
        (FIREDANCER, &[958.0]),
    ] },
    Shape { verb: RestoreMost, k: 32, m: 32, body_bytes: BODIES, reference: &[458.0, 1_182.0, 941.0], peers: &[
        (LEOPARD, &[2_584.0, 2_443.0, 1_771.0]),
        (FIREDANCER, &[942.0, 949.0, 873.0]),
        (KLAUSPOST_8, &[1_537.0, 2_043.0, 1_828.0]),
    ] },
    Shape { verb: RestoreMost, k: 64, m: 64, body_bytes: BODIES, reference: &[436.0, 1_048.0, 952.0], peers: &[
        (LEOPARD, &[2_141.0, 2_059.0, 1_732.0]),
        (FIREDANCER, &[742.0, 739.0, 691.0]),
        (KLAUSPOST_8, &[1_135.0, 1_600.0, 1_361.0]),
    ] },
    Shape { verb: RestoreMost, k: 85, m: 171, body_bytes: BODIES, reference: &[203.0, 366.0, 196.0], peers: &[
        (KLAUSPOST_16, &[118.0, 407.0, 316.0]),
    ] },
    Shape { verb: RestoreMost, k: 128, m: 128, body_bytes: BODIES, reference: &[416.0, 945.0, 883.0], peers: &[
        (LEOPARD, &[1_892.0, 1_875.0, 1_425.0]),
        (KLAUSPOST_8, &[715.0, 1_260.0, 1_382.0]),
    ] },
    Shape { verb: RestoreMost, k: 667, m: 1333, body_bytes: BODIES, reference: &[177.0, 282.0, 156.0], peers: &[
        (KLAUSPOST_16, &[104.0, 249.0, 252.0]),
    ] },
];

/// Each peer's rate over that of the shape's reference. Empty where nothing was recorded.
pub fn ratios(verb: Verb, (k, m): (usize, usize), body_bytes: usize) -> Vec<(&'static str, f64)> {
    let shapes = RECORDED.iter().filter(|shape| (shape.verb, shape.k, shape.m) == (verb, k, m));
    shapes
        .filter_map(|shape| Some((shape, shape.body_bytes.iter().position(|bytes| *bytes == body_bytes)?)))
        .flat_map(|(shape, at)| shape.peers.iter().map(move |(peer, rates)| (*peer, rates[at] / shape.reference[at])))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_peer_has_a_rate_at_every_body_size() {
        for shape in RECORDED {
            assert_eq!(shape.body_bytes.len(), shape.reference.len());
            assert!(!shape.peers.is_empty());
            for (peer, rates) in shape.peers {
                assert_eq!(rates.len(), shape.body_bytes.len(), "{peer}");
                assert!(rates.iter().chain(shape.reference).all(|rate| *rate > 0.0), "{peer}");
            }
        }
    }

    #[test]
    fn a_ratio_is_to_the_reference_of_its_shape() {
        // At (10,4) that is ISA-L: leopard had 1.31 times its rate.
        assert_eq!(ratios(Encode, (10, 4), 1 << 20)[0], (LEOPARD, 14_807.0 / 11_275.0));
        assert_eq!(Reference::of(10, 4), Reference::IsaL);
        assert_eq!(ratios(Encode, (32, 32), 1 << 20)[0], (LEOPARD, 6_843.0 / 4_701.0));
        assert_eq!(Reference::of(32, 32), Reference::ReedSolomonSimd);
        assert_eq!(ratios(RestoreMost, (32, 32), 32 << 10)[0], (LEOPARD, 2_443.0 / 147.0));
    }

    #[test]
    fn there_is_no_ratio_where_nothing_was_recorded() {
        assert_eq!(ratios(Encode, (32, 32), 1 << 19), []);
        assert_eq!(ratios(Encode, (33, 32), 1 << 20), []);
        // leopard refuses more parity than data chunks.
        assert!(ratios(Encode, (85, 171), 1 << 20).iter().all(|(peer, _)| *peer != LEOPARD));
        assert_eq!(ratios(Encode, (32, 32), 32 << 10).len(), 2);
    }
}
