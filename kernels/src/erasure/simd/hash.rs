//! BLAKE3's compression of many strings at once, one in each lane of a vector.
//!
//! Strings that are equally long have the same blocks, flags and tree, and only their bytes and chunk counters differ:
//! [`Hasher::hash`] takes such strings in lockstep, each a hash chunk, a node of a chunk tree or anything shorter than a
//! chunk. What to make of the values is [`super::leaves`]'s part. A block's 16 words are loaded from each lane and
//! transposed, so that a vector holds one word of all lanes; then the seven rounds are those of one string.
//!
//! Source: J. O'Connor, J.-P. Aumasson, S. Neves, Z. Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere" (2020), sections 2.1
//! (tree), 2.2 (compression), 5.3 (SIMD).

/// A BLAKE3 value: of a chunk, a node or a whole string.
pub type Value = [u8; 32];

/// Bytes of a hash chunk.
pub const CHUNK: usize = 1024;
/// Bytes of a block.
pub const BLOCK: usize = 64;
/// Strings of one call.
pub const LANES: usize = 8;

/// Domain flags.
pub const CHUNK_START: u32 = 1 << 0;
/// On the last block of a chunk.
pub const CHUNK_END: u32 = 1 << 1;
/// On the block of a parent.
pub const PARENT: u32 = 1 << 2;
/// On the block whose value is that of the whole string.
pub const ROOT: u32 = 1 << 3;

/// The first words of the fractions of the square roots of the first eight primes.
const IV: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Where each round finds its message words: the permutation, applied once more for each round.
const SCHEDULE: [[usize; 16]; 7] = {
    let permutation = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
    let mut schedule = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; 7];
    let mut round = 1;
    while round < 7 {
        let mut i = 0;
        while i < 16 {
            schedule[round][i] = schedule[round - 1][permutation[i]];
            i += 1;
        }
        round += 1;
    }
    schedule
};

/// Where the blocks of a lane's string are. The last block is whole: what is behind the string is zero.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Block 0.
    pub first: *const u8,
    /// Block 1 and all further ones but the last.
    pub middle: *const u8,
    /// The last block, which may be block 0 too.
    pub last: *const u8,
    /// Which chunk of its string it is; 0 for a parent.
    pub counter: u64,
}

/// What the strings of a call have in common.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Blocks of each, at least 1.
    pub blocks: usize,
    /// Bytes in the last one.
    pub last_bytes: usize,
    /// Flags of the first block.
    pub first: u32,
    /// Flags of the last block.
    pub last: u32,
}

/// Vectors of [`LANES`] 32-bit words, as the proof that the CPU has the instructions.
trait Lanes: Copy {
    type Words: Copy;
    fn detect() -> Option<Self>;
    fn splat(self, word: u32) -> Self::Words;
    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words;
    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words;
    /// By 16, 12, 8 or 7 bits to the right.
    fn rotate<const BITS: u32>(self, a: Self::Words) -> Self::Words;
    /// One word a lane.
    ///
    /// # Safety
    ///
    /// [`LANES`] words can be read.
    unsafe fn load(self, words: *const u32) -> Self::Words;
    /// Eight words of each lane, as a value.
    fn values(self, words: [Self::Words; 8], values: &mut [Value; LANES]);
    /// A block of each lane, transposed.
    ///
    /// # Safety
    ///
    /// A block can be read `at` bytes behind each address.
    unsafe fn block(self, from: &[*const u8; LANES], at: usize) -> [Self::Words; 16];
}

/// The four quarter rounds of four columns or diagonals side by side.
#[inline(always)]
fn quarters<L: Lanes>(l: L, v: &mut [L::Words; 16], places: [[usize; 4]; 4], x: [L::Words; 4], y: [L::Words; 4]) {
    let [a, b, c, d] = places;
    macro_rules! each {
        ($i:ident: $($step:stmt);+ $(;)?) => { $( for $i in 0..4 { $step } )+ };
    }
    each! { i:
        v[a[i]] = l.add(v[a[i]], x[i]);
        v[a[i]] = l.add(v[a[i]], v[b[i]]);
        v[d[i]] = l.xor(v[d[i]], v[a[i]]);
        v[d[i]] = l.rotate::<16>(v[d[i]]);
        v[c[i]] = l.add(v[c[i]], v[d[i]]);
        v[b[i]] = l.xor(v[b[i]], v[c[i]]);
        v[b[i]] = l.rotate::<12>(v[b[i]]);
        v[a[i]] = l.add(v[a[i]], y[i]);
        v[a[i]] = l.add(v[a[i]], v[b[i]]);
        v[d[i]] = l.xor(v[d[i]], v[a[i]]);
        v[d[i]] = l.rotate::<8>(v[d[i]]);
        v[c[i]] = l.add(v[c[i]], v[d[i]]);
        v[b[i]] = l.xor(v[b[i]], v[c[i]]);
        v[b[i]] = l.rotate::<7>(v[b[i]]);
    }
}

#[inline(always)]
fn round<L: Lanes, const ROUND: usize>(l: L, v: &mut [L::Words; 16], m: &[L::Words; 16]) {
    const COLUMNS: [[usize; 4]; 4] = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]];
    const DIAGONALS: [[usize; 4]; 4] = [[0, 1, 2, 3], [5, 6, 7, 4], [10, 11, 8, 9], [15, 12, 13, 14]];
    let word = |i: usize| m[SCHEDULE[ROUND][i]];
    quarters(l, v, COLUMNS, [word(0), word(2), word(4), word(6)], [word(1), word(3), word(5), word(7)]);
    quarters(l, v, DIAGONALS, [word(8), word(10), word(12), word(14)], [word(9), word(11), word(13), word(15)]);
}

/// Hashes the strings at the places.
///
/// # Safety
///
/// The blocks that the form speaks of can be read at each place.
#[inline(always)]
unsafe fn hash<L: Lanes>(l: L, places: &[Place; LANES], form: &Form, values: &mut [Value; LANES]) {
    let counter = |shift: u32| {
        let words = places.each_ref().map(|place| (place.counter >> shift) as u32);
        // SAFETY: there are as many places as lanes.
        unsafe { l.load(words.as_ptr()) }
    };
    let counters = [counter(0), counter(32)];
    let (first, middle, last) =
        (places.each_ref().map(|p| p.first), places.each_ref().map(|p| p.middle), places.each_ref().map(|p| p.last));
    let mut chain = IV.map(|word| l.splat(word));
    for block in 0..form.blocks {
        let (mut bytes, mut flags) = (BLOCK, 0);
        let (mut from, mut at) = (&middle, block.wrapping_sub(1).wrapping_mul(BLOCK));
        if block == 0 {
            (from, at, flags) = (&first, 0, form.first);
        }
        if block == form.blocks - 1 {
            (from, at, flags, bytes) = (&last, 0, flags | form.last, form.last_bytes);
        }
        // SAFETY: as promised by the caller.
        let m = unsafe { l.block(from, at) };
        let iv = [IV[0], IV[1], IV[2], IV[3]].map(|word| l.splat(word));
        let mut v = [
            chain[0],
            chain[1],
            chain[2],
            chain[3],
            chain[4],
            chain[5],
            chain[6],
            chain[7],
            iv[0],
            iv[1],
            iv[2],
            iv[3],
            counters[0],
            counters[1],
            l.splat(bytes as u32),
            l.splat(flags),
        ];
        round::<L, 0>(l, &mut v, &m);
        round::<L, 1>(l, &mut v, &m);
        round::<L, 2>(l, &mut v, &m);
        round::<L, 3>(l, &mut v, &m);
        round::<L, 4>(l, &mut v, &m);
        round::<L, 5>(l, &mut v, &m);
        round::<L, 6>(l, &mut v, &m);
        for i in 0..8 {
            chain[i] = l.xor(v[i], v[i + 8]);
        }
    }
    l.values(chain, values);
}

/// Hashes in lanes. It exists only on a CPU that has them.
#[derive(Clone, Copy)]
pub struct Hasher {
    /// Crate blake3 has wider vectors than these, within one string.
    is_narrow: bool,
    hash: unsafe fn(&[Place; LANES], &Form, &mut [Value; LANES]),
}

impl Hasher {
    /// If this CPU has them.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if x86_64::Avx2::detect().is_some() {
            return Some(Self { is_narrow: is_x86_feature_detected!("avx512vl"), hash: x86_64::hash_avx2 });
        }
        None
    }

    /// Whether many strings of so many bytes are hashed here as fast as anywhere.
    pub fn suits(&self, bytes: usize) -> bool {
        !self.is_narrow || bytes < LANES * CHUNK
    }

    /// The values of the strings at the places.
    ///
    /// # Safety
    ///
    /// At each place, the blocks that the form speaks of can be read.
    pub unsafe fn hash(&self, places: &[Place; LANES], form: &Form, values: &mut [Value; LANES]) {
        // SAFETY: the blocks are the caller's promise, and a hasher exists only where its instructions do.
        unsafe { (self.hash)(places, form, values) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::*;

    use super::{Form, LANES, Lanes, Place, Value};

    /// One intrinsic, once it is inlined where the instructions are enabled.
    macro_rules! intrinsic {
        ($call:expr) => {
            // SAFETY: a value of the set exists only on a CPU that has the instructions.
            unsafe { $call }
        };
    }

    /// How far before its use memory is asked for: this many bytes.
    const AHEAD: usize = 192;

    /// 8 lanes.
    #[derive(Clone, Copy)]
    pub struct Avx2 {
        by_16: __m256i,
        by_8: __m256i,
    }

    impl Avx2 {
        /// # Safety
        ///
        /// The CPU has the instructions.
        #[inline(always)]
        unsafe fn new() -> Self {
            // SAFETY: as promised by the caller.
            let both = |order: [i8; 16]| unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(order.as_ptr().cast())) };
            Self {
                by_16: both([2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13]),
                by_8: both([1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12]),
            }
        }
    }

    impl Lanes for Avx2 {
        type Words = __m256i;

        fn detect() -> Option<Self> {
            // SAFETY: the instructions run where they were found.
            is_x86_feature_detected!("avx2").then(|| unsafe { Self::new() })
        }

        #[inline(always)]
        fn splat(self, word: u32) -> __m256i {
            intrinsic!(_mm256_set1_epi32(word.cast_signed()))
        }

        #[inline(always)]
        fn add(self, a: __m256i, b: __m256i) -> __m256i {
            intrinsic!(_mm256_add_epi32(a, b))
        }

        #[inline(always)]
        fn xor(self, a: __m256i, b: __m256i) -> __m256i {
            intrinsic!(_mm256_xor_si256(a, b))
        }

        #[inline(always)]
        fn rotate<const BITS: u32>(self, a: __m256i) -> __m256i {
            match BITS {
                16 => intrinsic!(_mm256_shuffle_epi8(a, self.by_16)),
                8 => intrinsic!(_mm256_shuffle_epi8(a, self.by_8)),
                12 => intrinsic!(_mm256_or_si256(_mm256_srli_epi32::<12>(a), _mm256_slli_epi32::<20>(a))),
                _ => intrinsic!(_mm256_or_si256(_mm256_srli_epi32::<7>(a), _mm256_slli_epi32::<25>(a))),
            }
        }

        #[inline(always)]
        unsafe fn load(self, words: *const u32) -> __m256i {
            // SAFETY: a vector can be read.
            unsafe { _mm256_loadu_si256(words.cast()) }
        }

        #[inline(always)]
        fn values(self, words: [__m256i; 8], values: &mut [Value; LANES]) {
            let [a, b, c, d, e, f, g, h] = words;
            for (half, words) in [[a, b, c, d], [e, f, g, h]].into_iter().enumerate() {
                for (i, four) in transpose(words).into_iter().enumerate() {
                    for (lane, four) in [
                        (i, intrinsic!(_mm256_castsi256_si128(four))),
                        (i + 4, intrinsic!(_mm256_extracti128_si256::<1>(four))),
                    ] {
                        // SAFETY: half a value can be written.
                        unsafe { _mm_storeu_si128(values[lane].as_mut_ptr().add(16 * half).cast(), four) };
                    }
                }
            }
        }

        #[inline(always)]
        unsafe fn block(self, from: &[*const u8; LANES], at: usize) -> [__m256i; 16] {
            for from in from {
                // Strings end too soon for the hardware to see that they are read in order.
                intrinsic!(_mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(at + AHEAD).cast()));
            }
            let mut words = [self.splat(0); 16];
            for quarter in 0..4 {
                // Lane `i` in the lower half of a vector and lane `i + 4` in the upper: the transposition stays in halves.
                let rows: [__m256i; 4] = std::array::from_fn(|i| {
                    // SAFETY: four words of the block can be read.
                    unsafe {
                        let four = |lane: usize| _mm_loadu_si128(from[lane].add(at + 16 * quarter).cast());
                        _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(four(i)), four(i + 4))
                    }
                });
                words[4 * quarter..4 * quarter + 4].copy_from_slice(&transpose(rows));
            }
            words
        }
    }

    /// Four by four words, in each half of the vectors.
    #[inline(always)]
    fn transpose(rows: [__m256i; 4]) -> [__m256i; 4] {
        let low =
            [intrinsic!(_mm256_unpacklo_epi32(rows[0], rows[1])), intrinsic!(_mm256_unpacklo_epi32(rows[2], rows[3]))];
        let high =
            [intrinsic!(_mm256_unpackhi_epi32(rows[0], rows[1])), intrinsic!(_mm256_unpackhi_epi32(rows[2], rows[3]))];
        [
            intrinsic!(_mm256_unpacklo_epi64(low[0], low[1])),
            intrinsic!(_mm256_unpackhi_epi64(low[0], low[1])),
            intrinsic!(_mm256_unpacklo_epi64(high[0], high[1])),
            intrinsic!(_mm256_unpackhi_epi64(high[0], high[1])),
        ]
    }

    /// # Safety
    ///
    /// As of [`super::hash`]; and the CPU has the instructions.
    #[target_feature(enable = "avx2")]
    pub unsafe fn hash_avx2(places: &[Place; LANES], form: &Form, values: &mut [Value; LANES]) {
        // A shuffle by a known order may become two, or a rotation's shifts: so that it stays one, hide the orders.
        // SAFETY: as promised by the caller.
        unsafe { super::hash(std::hint::black_box(Avx2::new()), places, form, values) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Lanes in plain code.
    #[derive(Clone, Copy)]
    struct Model;

    impl Lanes for Model {
        type Words = [u32; LANES];

        fn detect() -> Option<Self> {
            Some(Self)
        }

        fn splat(self, word: u32) -> [u32; LANES] {
            [word; LANES]
        }

        fn add(self, a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
            std::array::from_fn(|lane| a[lane].wrapping_add(b[lane]))
        }

        fn xor(self, a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
            std::array::from_fn(|lane| a[lane] ^ b[lane])
        }

        fn rotate<const BITS: u32>(self, a: [u32; LANES]) -> [u32; LANES] {
            a.map(|word| word.rotate_right(BITS))
        }

        unsafe fn load(self, words: *const u32) -> [u32; LANES] {
            // SAFETY: as promised by the caller.
            std::array::from_fn(|lane| unsafe { *words.add(lane) })
        }

        fn values(self, words: [[u32; LANES]; 8], values: &mut [Value; LANES]) {
            for (lane, value) in values.iter_mut().enumerate() {
                let bytes = words.iter().flat_map(|word| word[lane].to_le_bytes());
                value.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
            }
        }

        unsafe fn block(self, from: &[*const u8; LANES], at: usize) -> [[u32; LANES]; 16] {
            let word = |lane: usize, i: usize| {
                // SAFETY: as promised by the caller.
                u32::from_le_bytes(unsafe { from[lane].add(at + 4 * i).cast::<[u8; 4]>().read() })
            };
            std::array::from_fn(|i| std::array::from_fn(|lane| word(lane, i)))
        }
    }

    /// A hasher on the model.
    pub fn model() -> Hasher {
        unsafe fn hash_model(p: &[Place; LANES], f: &Form, v: &mut [Value; LANES]) {
            // SAFETY: as promised by the caller.
            unsafe { hash(Model, p, f, v) }
        }
        Hasher { is_narrow: false, hash: hash_model }
    }

    /// Strings of `bytes` bytes, one chunk each, at unaligned places.
    fn hashes_single_chunks(hasher: &Hasher, bytes: usize) {
        let blocks = bytes.div_ceil(BLOCK).max(1);
        let stride = blocks * BLOCK + 1;
        let mut memory = vec![0u8; stride * LANES];
        for (lane, string) in memory.chunks_exact_mut(stride).enumerate() {
            (0..bytes).for_each(|i| string[i] = (i * 7 + lane * 31 + (i >> 8)) as u8);
        }
        let places: [Place; LANES] = std::array::from_fn(|lane| {
            let string = &memory[lane * stride..];
            let (first, middle, last) = (&string[0..], &string[BLOCK..], &string[(blocks - 1) * BLOCK..]);
            Place { first: first.as_ptr(), middle: middle.as_ptr(), last: last.as_ptr(), counter: 0 }
        });
        let form =
            Form { blocks, last_bytes: bytes - (blocks - 1) * BLOCK, first: CHUNK_START, last: CHUNK_END | ROOT };
        let mut values = [[0; 32]; LANES];
        // SAFETY: each place has as many whole blocks.
        unsafe { hasher.hash(&places, &form, &mut values) };
        for lane in 0..LANES {
            let want = blake3::hash(&memory[lane * stride..][..bytes]);
            assert_eq!(values[lane], *want.as_bytes(), "{bytes} bytes in lane {lane}");
        }
    }

    #[test]
    fn every_lane_equals_the_crate_on_every_length_of_a_chunk() {
        for hasher in [Some(model()), Hasher::detect()].into_iter().flatten() {
            (0..=CHUNK).for_each(|bytes| hashes_single_chunks(&hasher, bytes));
        }
    }

    #[test]
    fn counters_of_all_64_bits_reach_their_lane() {
        use blake3::hazmat::HasherExt;
        let string: Vec<u8> = (0..CHUNK).map(|i| (i * 11) as u8).collect();
        let form = Form { blocks: 16, last_bytes: BLOCK, first: CHUNK_START, last: CHUNK_END };
        for hasher in [Some(model()), Hasher::detect()].into_iter().flatten() {
            let places: [Place; LANES] = std::array::from_fn(|lane| {
                let (first, middle, last) = (string[0..].as_ptr(), string[64..].as_ptr(), string[960..].as_ptr());
                Place { first, middle, last, counter: ((lane as u64) << 31) | (lane as u64 * 3) }
            });
            let mut values = [[0; 32]; LANES];
            // SAFETY: each place has 16 blocks.
            unsafe { hasher.hash(&places, &form, &mut values) };
            for (place, value) in places.iter().zip(values) {
                let mut want = blake3::Hasher::new();
                want.set_input_offset(place.counter * CHUNK as u64).update(&string);
                assert_eq!(value, want.finalize_non_root());
            }
        }
    }
}
