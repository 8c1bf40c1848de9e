// The curve over the base field: y^2 = x^3 + 4.

alias F = Fp;
const WORDS = 12u;

fn add(x: F, y: F) -> F { return fp_add(x, y); }
fn sub(x: F, y: F) -> F { return fp_sub(x, y); }
fn mul(x: F, y: F) -> F { return fp_mul(x, y); }
fn twelve(x: Fp) -> Fp { let y = fp_add(x, fp_add(x, x)); let z = fp_add(y, y); return fp_add(z, z); }
// x times three times the curve's constant.
fn mul_3b(x: F) -> F { return twelve(x); }
fn one() -> F { return ONE; }

// The element at a word of the points, of the sums.
fn point(at: u32) -> F {
    var x: F;
    for (var l = 0u; l < WORDS; l++) { x[l] = points[at + l]; }
    return x;
}
fn put(at: u32, value: F) {
    var x = value;
    for (var l = 0u; l < WORDS; l++) { sums[at + l] = x[l]; }
}
