//! Many sums of points on a GPU, as trees of passes. Sources of the arithmetic: `g1.wgsl`, `g2.wgsl`, `sums.wgsl`.
//!
//! Points lie on the device in blst's own form, two coordinates a point; a job names them by index. The first pass adds up
//! to [`PER`] of them an invocation, later ones as many sums of the pass before, until every list has one.

use std::sync::Arc;

use blst::{blst_fp, blst_fp2, blst_p1, blst_p2};

use crate::backend::Error;
use crate::bls::points::{G1, G2, from_homogeneous_g1, from_homogeneous_g2};
use crate::device::wgpu::{BINDING_WORDS, Buffer, Gpu, MOST_INVOCATIONS};
use crate::device::wgsl::prime_field;

/// Terms that one invocation adds.
const PER: usize = 8;
/// Words of a base-field element.
const FP: usize = 12;

/// A group whose points a GPU adds.
pub(super) trait Group: 'static {
    /// An affine point, finite.
    type Affine: Copy;
    /// A sum, in Jacobian coordinates.
    type Sum: Copy + Default;
    /// In names of programs.
    const NAME: &'static str;
    /// The field, as text.
    const FIELD: &'static str;
    /// Words of a coordinate.
    const WORDS: usize;
    /// Both coordinates.
    fn write(point: &Self::Affine, words: &mut Vec<u32>);
    /// From three coordinates.
    fn read(words: &[u32]) -> Self::Sum;
}

fn write_fp(value: &blst_fp, words: &mut Vec<u32>) {
    words.extend(value.l.iter().flat_map(|limb| [*limb as u32, (limb >> 32) as u32]));
}

/// The element of `words`, 0 behind their end.
fn read_fp(words: &[u32]) -> blst_fp {
    let word = |i: usize| words.get(i).copied().map_or(0, u64::from);
    blst_fp { l: std::array::from_fn(|i| word(2 * i) | word(2 * i + 1) << 32) }
}

/// Keys.
pub(super) enum Keys {}

impl Group for Keys {
    type Affine = G1;
    type Sum = blst_p1;
    const NAME: &'static str = "G1";
    const FIELD: &'static str = include_str!("g1.wgsl");
    const WORDS: usize = FP;
    fn write(point: &G1, words: &mut Vec<u32>) {
        write_fp(&point.x, words);
        write_fp(&point.y, words);
    }
    fn read(words: &[u32]) -> blst_p1 {
        from_homogeneous_g1([0, 1, 2].map(|i| read_fp(&words[i * FP..])))
    }
}

/// Signatures.
pub(super) enum Signatures {}

impl Group for Signatures {
    type Affine = G2;
    type Sum = blst_p2;
    const NAME: &'static str = "G2";
    const FIELD: &'static str = include_str!("g2.wgsl");
    const WORDS: usize = 2 * FP;
    fn write(point: &G2, words: &mut Vec<u32>) {
        for coordinate in [&point.x, &point.y] {
            coordinate.fp.iter().for_each(|part| write_fp(part, words));
        }
    }
    fn read(words: &[u32]) -> blst_p2 {
        let coordinate = |i: usize| blst_fp2 { fp: [0, 1].map(|j| read_fp(&words[(2 * i + j) * FP..])) };
        from_homogeneous_g2([0, 1, 2].map(coordinate))
    }
}

/// The prime, least significant word first. Source: draft-irtf-cfrg-pairing-friendly-curves-11, section 4.2.1.
const PRIME: [u32; FP] = [
    0xffff_aaab,
    0xb9fe_ffff,
    0xb153_ffff,
    0x1eab_fffe,
    0xf6b0_f624,
    0x6730_d2a0,
    0xf385_12bf,
    0x6477_4b84,
    0x434b_acd7,
    0x4b1b_a7b6,
    0x397f_e69a,
    0x1a01_11ea,
];
/// `2^384` modulo the prime.
const ONE: [u32; FP] = [
    0x0002_fffd,
    0x7609_0000,
    0xc40c_0002,
    0xebf4_000b,
    0x53c7_58ba,
    0x5f48_9857,
    0x7052_5745,
    0x77ce_5853,
    0xa256_ec6d,
    0x5c07_1a97,
    0xfa80_e493,
    0x15f6_5ec3,
];

/// Terms of the first pass: points by index.
const GATHERED: &str = "
@group(0) @binding(3) var<storage, read> terms: array<u32>;
fn term(at: u32) -> Point {
    let first = 2u * WORDS * terms[at];
    return Point(point(first), point(first + WORDS), one());
}
";
/// Terms of later ones: sums in order.
const FOLDED: &str = "
fn term(at: u32) -> Point {
    let first = 3u * WORDS * at;
    return Point(point(first), point(first + WORDS), point(first + 2u * WORDS));
}
";

fn source<G: Group>(wide: bool, terms: &str) -> String {
    let one: Vec<String> = ONE.iter().map(|word| format!("{word}u")).collect();
    let bindings = "
@group(0) @binding(0) var<storage, read> points: array<u32>;
@group(0) @binding(1) var<storage, read> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;
";
    let constant = format!("const ONE = Fp({});\n", one.join(", "));
    [&prime_field(wide, &PRIME), bindings, &constant, G::FIELD, include_str!("sums.wgsl"), terms].concat()
}

/// Points on the device.
pub(super) struct Points<G> {
    gpu: Arc<Gpu>,
    buffer: Buffer,
    group: std::marker::PhantomData<fn() -> G>,
}

impl<G: Group> Points<G> {
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for more points than a binding holds; [`Error::Device`].
    pub fn upload(gpu: &Arc<Gpu>, points: &[G::Affine]) -> Result<Self, Error> {
        let most = BINDING_WORDS / (2 * G::WORDS);
        if points.len() > most {
            return Err(Error::InvalidInput(format!("{} points: {most} fit the device's binding", points.len())));
        }
        let mut words = Vec::with_capacity(2 * G::WORDS * points.len());
        points.iter().for_each(|point| G::write(point, &mut words));
        Ok(Self { gpu: Arc::clone(gpu), buffer: gpu.upload(&words)?, group: std::marker::PhantomData })
    }

    /// Lists of points to be summed, by index.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for more terms than one dispatch adds; [`Error::Device`].
    pub fn job(&self, lists: &[Vec<u32>]) -> Result<Job, Error> {
        let terms: Vec<u32> = lists.concat();
        let most = (BINDING_WORDS / (3 * G::WORDS)).min(MOST_INVOCATIONS) / 2 * PER;
        if terms.len() > most || lists.len() > most / PER {
            return Err(Error::InvalidInput(format!("{} points in {} sums are too many", terms.len(), lists.len())));
        }
        let mut counts: Vec<usize> = lists.iter().map(Vec::len).collect();
        let mut passes = Vec::new();
        // An empty list has one sum too, infinity.
        while passes.is_empty() || counts.iter().any(|count| *count > 1) {
            let mut starts = vec![0];
            let mut first = 0;
            for count in &mut counts {
                let sums = count.div_ceil(PER).max(1);
                starts.extend((1..=sums).map(|i| (first + (i * PER).min(*count)) as u32));
                first += *count;
                *count = sums;
            }
            let sums = starts.len() - 1;
            passes.push(Pass {
                starts: self.gpu.upload(&starts)?,
                sums: self.gpu.zeros(3 * G::WORDS * sums)?,
                count: sums,
            });
        }
        Ok(Job { terms: self.gpu.upload(&terms)?, passes })
    }

    /// Adds. The device is idle after it.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn add(&self, job: &Job) -> Result<(), Error> {
        let gpu = &self.gpu;
        let program =
            |kind: &str, terms| gpu.program(&format!("{} sums {kind}", G::NAME), || source::<G>(gpu.wide(), terms));
        let mut before: Option<&Pass> = None;
        for pass in &job.passes {
            match before {
                None => {
                    let buffers = [&self.buffer, &pass.starts, &pass.sums, &job.terms];
                    gpu.run(&*program("gathered", GATHERED)?, &buffers, pass.count)?;
                }
                Some(before) => {
                    gpu.run(&*program("folded", FOLDED)?, &[&before.sums, &pass.starts, &pass.sums], pass.count)?;
                }
            }
            before = Some(pass);
        }
        gpu.wait()
    }

    /// The sums, in the order of the lists.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub fn sums(&self, job: &Job) -> Result<Vec<G::Sum>, Error> {
        let Some(last) = job.passes.last() else { return Ok(Vec::new()) };
        Ok(self.gpu.download(&last.sums)?.chunks_exact(3 * G::WORDS).map(G::read).collect())
    }
}

/// Sums on the device: indices, and room for every pass.
pub(super) struct Job {
    terms: Buffer,
    passes: Vec<Pass>,
}

struct Pass {
    starts: Buffer,
    sums: Buffer,
    count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Kernel;
    use crate::bls::AggregateKeys;
    use crate::bls::material;
    use crate::bls::points::{
        add_g1, add_g2, affine_g1, affine_g2, decode_g1, hash_to_g2, jacobian_g1, jacobian_g2, negate_g1,
    };
    use crate::device::wgpu::{any, narrow_and_wide};
    use crate::device::wgsl::assert_valid;

    #[test]
    fn programs_are_core_wgsl() {
        for wide in [false, true] {
            for terms in [GATHERED, FOLDED] {
                assert_valid(&source::<Keys>(wide, terms), wide);
                assert_valid(&source::<Signatures>(wide, terms), wide);
            }
        }
    }

    #[test]
    fn the_constants_are_blsts() {
        assert_eq!(read_fp(&ONE), blst::blst_fp12::default().fp6[0].fp2[0].fp[0]);
    }

    /// Lists of every length around a pass's, with repetitions, opposites and nothing.
    fn lists(points: u32) -> Vec<Vec<u32>> {
        let mut lists: Vec<Vec<u32>> =
            [0, 1, 2, 7, 8, 9, 63, 64, 65, 200].map(|n| (0..n).map(|i| i * 7 % points).collect()).into();
        // The point and its opposite lie beside one another.
        lists.extend([vec![0, 0], vec![0, 1], vec![0, 1, 0], vec![2; 30], (0..20).map(|i| i % 2).collect()]);
        lists
    }

    fn sums_are<G: Group>(
        gpus: Vec<Arc<Gpu>>,
        points: &[G::Affine],
        sum: impl Fn(&mut dyn Iterator<Item = &G::Affine>) -> G::Affine,
    ) where
        G::Affine: PartialEq + std::fmt::Debug,
        G::Sum: Affine<G::Affine>,
    {
        for gpu in gpus {
            let lists = lists(points.len() as u32);
            let on_device = Points::<G>::upload(&gpu, points).unwrap();
            let job = on_device.job(&lists).unwrap();
            for _ in 0..2 {
                on_device.add(&job).unwrap();
                let sums = on_device.sums(&job).unwrap();
                assert_eq!(sums.len(), lists.len());
                for (list, got) in lists.iter().zip(&sums) {
                    let want = sum(&mut list.iter().map(|i| &points[*i as usize]));
                    assert_eq!(got.affine(), want, "{list:?}");
                }
            }
        }
    }

    trait Affine<A> {
        fn affine(&self) -> A;
    }
    impl Affine<G1> for blst_p1 {
        fn affine(&self) -> G1 {
            affine_g1(&[*self])[0]
        }
    }
    impl Affine<G2> for blst_p2 {
        fn affine(&self) -> G2 {
            affine_g2(&[*self])[0]
        }
    }

    #[test]
    fn sums_of_keys_are_blsts() {
        let encoded = material::committee(AggregateKeys::NAME, 40, 3);
        let mut points: Vec<G1> = encoded.iter().map(|key| decode_g1(key).unwrap()).collect();
        points[1] = affine_g1(&[negate_g1(jacobian_g1(&points[0]))])[0];
        sums_are::<Keys>(narrow_and_wide(), &points, |terms| {
            affine_g1(&[terms.fold(blst_p1::default(), |sum, point| add_g1(&sum, &jacobian_g1(point)))])[0]
        });
    }

    #[test]
    fn sums_of_signatures_are_blsts() {
        let mut points = affine_g2(&[0u8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(|i| hash_to_g2(&[i])));
        points[1] = points[0];
        for part in &mut points[1].y.fp {
            let value = *part;
            // SAFETY: the function reads one element and writes one.
            unsafe { blst::blst_fp_cneg(part, &value, true) };
        }
        // Without 64-bit integers too the field is that of the keys; its text for both coordinates takes a CPU a minute to compile.
        sums_are::<Signatures>(any().into_iter().collect(), &points, |terms| {
            affine_g2(&[terms.fold(blst_p2::default(), |sum, point| add_g2(&sum, &jacobian_g2(point)))])[0]
        });
    }
}
