//! What the kernel needs of an instruction set.
//!
//! A number lies across vectors: vector `i` holds digit `i` of each lane's number, in radix `2^W`. A product of digits
//! falls into two halves, the lower of its own column and the upper of the next; sums of either stay apart until a column
//! is complete and [`Vector::column`] makes a digit of it.
//!
//! | vectors | lanes | digits | halves of a product |
//! |---|---|---|---|
//! | [`super::doubles`] | 4 | doubles with a sign, `W <= 49` | rounded by an addition of `2^(52+W)`, and the rest |
//! | [`super::words`] | 8 | integers, `W = 51` | bits 52 and up, which count twice, and bits below |

/// Up to 4 adjacent columns being summed.
#[derive(Clone, Copy)]
pub(super) struct Tile<V> {
    /// The lower halves of products.
    pub low: [V; 4],
    /// The upper halves in two sums, so that no chain of additions bounds the speed: of even rows,
    pub even: [V; 4],
    /// and of odd rows.
    pub odd: [V; 4],
}

/// What a column leaves to the next.
#[derive(Clone, Copy)]
pub(super) struct Carry<V> {
    /// The upper halves of its products.
    pub high: V,
    /// What its digit does not hold.
    pub excess: V,
}

/// One digit of each lane, or one sum of halves.
pub(super) trait Vector: Copy + Send + Sync + 'static {
    /// Independent numbers.
    const LANES: usize;
    /// Whether digits are balanced about zero, else at least zero.
    const SIGNED: bool;
    /// The value of each lane.
    fn from_lanes(lane: impl FnMut(usize) -> i64) -> Self;
    /// One lane's value.
    fn lane(&self, lane: usize) -> i64;
    /// The empty sum of lower halves, and the digit zero.
    fn zero() -> Self;
    /// The empty sum of upper halves.
    fn empty<const W: u32>() -> Self;
    /// The sum.
    fn add(self, rhs: Self) -> Self;
    /// Adds the halves of `a * b`.
    fn multiply(high: &mut Self, low: &mut Self, a: Self, b: Self);
    /// The digit of column `k` of a tile.
    fn column<const W: u32>(carry: &mut Carry<Self>, tile: &Tile<Self>, k: usize) -> Self;
    /// Adds `a * b` to a sum for [`Self::guard`].
    fn estimate(sum: &mut Self, a: Self, b: Self);
    /// What comes into a column, so that it leaves the right excess: `sum` holds the products of the column below, nothing
    /// is known of those below that, and all the columns up to this one make a multiple of its radix.
    fn guard<const W: u32>(sum: Self) -> Carry<Self>;
    /// Digit after digit of `x + bit * x`, for bits of 0 and 1.
    fn double<const W: u32>(x: Self, bit: Self, excess: &mut Self) -> Self;
    /// Does the work with the instructions enabled.
    fn run<T: Task>(task: T);

    /// An even number of rows in all columns of a tile: row `r` adds `a[r] * b[k - r]` to column `k`.
    ///
    /// # Safety
    ///
    /// `a[..rows]` and `b[1 - rows..4]` can be read.
    #[inline(always)]
    unsafe fn rows(tile: &mut Tile<Self>, mut a: *const Self, mut b: *const Self, rows: usize) {
        for _ in 0..rows / 2 {
            // SAFETY: the caller's.
            unsafe {
                for k in 0..4 {
                    Self::multiply(&mut tile.even[k], &mut tile.low[k], *a, *b.add(k));
                }
                for k in 0..4 {
                    Self::multiply(&mut tile.odd[k], &mut tile.low[k], *a.add(1), *b.wrapping_add(k).sub(1));
                }
            }
            a = a.wrapping_add(2);
            b = b.wrapping_sub(2);
        }
    }
}

/// Work over vectors: `#[inline(always)]`, as all that it calls, or instructions stay calls.
pub(super) trait Task {
    /// The work.
    fn run(self);
}
