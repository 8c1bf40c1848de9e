// The twist over the quadratic extension by i, i^2 = -1: y^2 = x^3 + 4 (1 + i).

struct F { c0: Fp, c1: Fp }
const WORDS = 24u;

fn add(x: F, y: F) -> F { return F(fp_add(x.c0, y.c0), fp_add(x.c1, y.c1)); }
fn sub(x: F, y: F) -> F { return F(fp_sub(x.c0, y.c0), fp_sub(x.c1, y.c1)); }
fn mul(x: F, y: F) -> F {
    let p0 = fp_mul(x.c0, y.c0);
    let p1 = fp_mul(x.c1, y.c1);
    let cross = fp_mul(fp_add(x.c0, x.c1), fp_add(y.c0, y.c1));
    return F(fp_sub(p0, p1), fp_sub(fp_sub(cross, p0), p1));
}
fn twelve(x: Fp) -> Fp { let y = fp_add(x, fp_add(x, x)); let z = fp_add(y, y); return fp_add(z, z); }
// x times three times the curve's constant.
fn mul_3b(x: F) -> F { return F(twelve(fp_sub(x.c0, x.c1)), twelve(fp_add(x.c0, x.c1))); }
fn one() -> F { return F(ONE, Fp()); }

// The element at a word of the points, of the sums.
fn point(at: u32) -> F {
    var x: F;
    for (var l = 0u; l < 12u; l++) { x.c0[l] = points[at + l]; x.c1[l] = points[at + 12u + l]; }
    return x;
}
fn put(at: u32, value: F) {
    var x = value;
    for (var l = 0u; l < 12u; l++) { sums[at + l] = x.c0[l]; sums[at + 12u + l] = x.c1[l]; }
}
