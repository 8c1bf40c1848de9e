//! Arithmetic of long integers and of prime fields as WGSL text.
//!
//! WGSL has neither a product of 64 bits nor a hint to unroll a loop, so both are written out here. A long integer is a
//! row of digits of `DIGIT` words of 32 bits; a product of two digits is straight-line code on values that stay in
//! registers, and what loops over digits is written by hand in the `.wgsl` files of the kernels.

use std::fmt::Write;

/// Words of 32 bits in a digit.
pub(crate) const DIGIT: usize = 8;

/// `mac(a, b, t, c)`: `a b + t + c`, low word and high word. Never overflows.
fn mac(wide: bool) -> &'static str {
    if wide {
        "fn mac(a: u32, b: u32, t: u32, c: u32) -> vec2<u32> {
    let s = u64(a) * u64(b) + u64(t) + u64(c);
    return vec2<u32>(u32(s), u32(s >> 32u));
}
"
    } else {
        // By halves: every partial sum stays below 2^32.
        "fn mac(a: u32, b: u32, t: u32, c: u32) -> vec2<u32> {
    let al = a & 0xffffu; let ah = a >> 16u;
    let bl = b & 0xffffu; let bh = b >> 16u;
    let p0 = al * bl + (t & 0xffffu) + (c & 0xffffu);
    let p1 = ah * bl + (t >> 16u);
    let p2 = al * bh + (c >> 16u);
    let middle = (p0 >> 16u) + (p1 & 0xffffu) + (p2 & 0xffffu);
    return vec2<u32>((p0 & 0xffffu) | (middle << 16u), ah * bh + (p1 >> 16u) + (p2 >> 16u) + (middle >> 16u));
}
"
    }
}

/// The functions on digits, for a device with 64-bit integers or without:
///
/// | function | gives |
/// |---|---|
/// | `multiply_add(a, b, c, d)` | `a b + c + d` as `low` and `high`; never overflows |
/// | `multiply_low(a, b)` | `a b` modulo a digit's range |
/// | `add_carry(a, b, carry)` | `a + b + carry` as `digit` and `carry` |
/// | `subtract_borrow(a, b, borrow)` | `a - b - borrow` as `digit` and `carry`, the next borrow |
/// | `double_carry(a, carry)` | `2 a + carry` as `digit` and `carry` |
/// | `digit_of(word)` | a digit of one word |
pub(crate) fn digits(wide: bool) -> String {
    let n = DIGIT;
    let mut text = mac(wide).to_owned();
    // Writing to a string does not fail.
    let out = &mut text;
    let _ = writeln!(out, "alias Digit = array<u32, {n}>;");
    let _ = writeln!(out, "struct Product {{ low: Digit, high: Digit }}");
    let _ = writeln!(out, "struct Carried {{ digit: Digit, carry: u32 }}");

    let _ = writeln!(out, "fn multiply_add(a: Digit, b: Digit, c: Digit, d: Digit) -> Product {{\nvar s: vec2<u32>;");
    for j in 0..n {
        let _ = writeln!(out, "var t{j} = c[{j}];");
    }
    for i in 0..n {
        let _ = writeln!(out, "s.y = d[{i}];");
        for j in 0..n {
            let _ = writeln!(out, "s = mac(a[{j}], b[{i}], t{0}, s.y); t{0} = s.x;", i + j);
        }
        let _ = writeln!(out, "var t{} = s.y;", i + n);
    }
    let words = |from: usize| (from..from + n).map(|j| format!("t{j}")).collect::<Vec<_>>().join(", ");
    let _ = writeln!(out, "return Product(Digit({}), Digit({}));\n}}", words(0), words(n));

    let _ = writeln!(out, "fn multiply_low(a: Digit, b: Digit) -> Digit {{\nvar s: vec2<u32>;");
    for j in 0..n {
        let _ = writeln!(out, "var t{j} = 0u;");
    }
    for i in 0..n {
        let _ = writeln!(out, "s.y = 0u;");
        for j in 0..n - i {
            let _ = writeln!(out, "s = mac(a[{j}], b[{i}], t{0}, s.y); t{0} = s.x;", i + j);
        }
    }
    let _ = writeln!(out, "return Digit({});\n}}", words(0));

    let ripple = |out: &mut String, name: &str, b: bool, step: &dyn Fn(usize) -> String| {
        let b = if b { "b: Digit, " } else { "" };
        let _ = writeln!(out, "fn {name}(a: Digit, {b}carry: u32) -> Carried {{\nvar c = carry;");
        for j in 0..n {
            let _ = writeln!(out, "{}", step(j));
        }
        let _ = writeln!(out, "return Carried(Digit({}), c);\n}}", words(0));
    };
    ripple(out, "add_carry", true, &|j| {
        format!("let s{j} = a[{j}] + b[{j}]; let t{j} = s{j} + c; c = u32(s{j} < a[{j}]) | u32(t{j} < s{j});")
    });
    ripple(out, "subtract_borrow", true, &|j| {
        format!("let s{j} = a[{j}] - b[{j}]; let t{j} = s{j} - c; c = u32(a[{j}] < b[{j}]) | u32(s{j} < c);")
    });
    ripple(out, "double_carry", false, &|j| format!("let t{j} = a[{j}] << 1u | c; c = a[{j}] >> 31u;"));

    let zeros = vec!["0u"; n - 1].join(", ");
    let _ = writeln!(out, "fn digit_of(word: u32) -> Digit {{ return Digit(word, {zeros}); }}");
    text
}

/// A prime field of `N` words in Montgomery form, `R = 2^(32 N)`: the type `Fp` with `fp_add`, `fp_sub` and `fp_mul`, on
/// values below the modulus, which leaves its highest two bits free.
///
/// A product is a loop over the words of one factor, the rest of it written out: a program has few enough products that it
/// compiles quickly, and all but that factor stay in registers. Source: Koc, Acar, Kaliski, "Analyzing and Comparing
/// Montgomery Multiplication Algorithms", 1996, CIOS.
pub(crate) fn prime_field(wide: bool, modulus: &[u32]) -> String {
    let n = modulus.len();
    // -1 / modulus modulo 2^32 (Newton's iteration).
    let inverse = (0..5).fold(1u32, |x, _| x.wrapping_mul(2u32.wrapping_sub(modulus[0].wrapping_mul(x))));
    let mut text = mac(wide).to_owned();
    let out = &mut text;
    let _ = writeln!(out, "alias Fp = array<u32, {n}>;");
    let join = |word: &str| (0..n).map(|j| format!("{word}{j}")).collect::<Vec<_>>().join(", ");
    // t less the modulus, if that is not below zero.
    let reduce_once = |out: &mut String| {
        let _ = writeln!(out, "var b = 0u;");
        for (j, p) in modulus.iter().enumerate() {
            let _ = writeln!(out, "let s{j} = t{j} - {p}u; let d{j} = s{j} - b; b = u32(t{j} < {p}u) | u32(s{j} < b);");
        }
        let choice = (0..n).map(|j| format!("select(d{j}, t{j}, b == 1u)")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "return Fp({choice});\n}}");
    };

    let _ = writeln!(out, "fn fp_add(x: Fp, y: Fp) -> Fp {{\nvar c = 0u;");
    for j in 0..n {
        let _ = writeln!(
            out,
            "let u{j} = x[{j}] + y[{j}]; let t{j} = u{j} + c; c = u32(u{j} < x[{j}]) | u32(t{j} < u{j});"
        );
    }
    reduce_once(out);

    let _ = writeln!(out, "fn fp_sub(x: Fp, y: Fp) -> Fp {{\nvar b = 0u;");
    for j in 0..n {
        let _ =
            writeln!(out, "let u{j} = x[{j}] - y[{j}]; let t{j} = u{j} - b; b = u32(x[{j}] < y[{j}]) | u32(u{j} < b);");
    }
    let _ = writeln!(out, "let mask = 0u - b;\nvar c = 0u;");
    for (j, p) in modulus.iter().enumerate() {
        let _ = writeln!(
            out,
            "let v{j} = t{j} + ({p}u & mask); let d{j} = v{j} + c; c = u32(v{j} < t{j}) | u32(d{j} < v{j});"
        );
    }
    let _ = writeln!(out, "return Fp({});\n}}", join("d"));

    let _ = writeln!(out, "fn fp_mul(x: Fp, y: Fp) -> Fp {{\nvar words = y;\nvar s: vec2<u32>;");
    for j in 0..n {
        let _ = writeln!(out, "var t{j} = 0u;");
    }
    let _ = writeln!(out, "for (var i = 0u; i < {n}u; i++) {{\nlet w = words[i];\ns.y = 0u;");
    for j in 0..n {
        let _ = writeln!(out, "s = mac(x[{j}], w, t{j}, s.y); t{j} = s.x;");
    }
    let _ = writeln!(out, "let top = s.y;\nlet q = t0 * {}u;", inverse.wrapping_neg());
    let _ = writeln!(out, "s = mac(q, {}u, t0, 0u);", modulus[0]);
    for (j, p) in modulus.iter().enumerate().skip(1) {
        let _ = writeln!(out, "s = mac(q, {p}u, t{j}, s.y); t{} = s.x;", j - 1);
    }
    let _ = writeln!(out, "t{} = top + s.y;\n}}", n - 1);
    reduce_once(out);
    text
}

/// Panics unless a program is valid WGSL: core WGSL, or with 64-bit integers alone.
#[cfg(test)]
pub(crate) fn assert_valid(source: &str, wide: bool) {
    use naga::valid::{Capabilities, ValidationFlags, Validator};
    let module = naga::front::wgsl::parse_str(source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(source)));
    let allowed = if wide { Capabilities::SHADER_INT64 } else { Capabilities::empty() };
    let valid = Validator::new(ValidationFlags::all(), allowed).validate(&module);
    if let Err(e) = valid {
        panic!("{}", e.emit_to_string(source));
    }
}

#[cfg(test)]
mod tests {
    use super::super::wgpu::narrow_and_wide;
    use super::*;

    const MAIN: &str = "
        @group(0) @binding(0) var<storage, read> x: array<Digit>;
        @group(0) @binding(1) var<storage, read_write> y: array<Digit>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let i = 4u * id.x;
            if i >= arrayLength(&x) { return; }
            let p = multiply_add(x[i], x[i + 1u], x[i + 2u], x[i + 3u]);
            let low = multiply_low(x[i], x[i + 1u]);
            let sum = add_carry(x[i], x[i + 1u], x[i + 2u][0] & 1u);
            let difference = subtract_borrow(x[i], x[i + 1u], x[i + 2u][0] & 1u);
            let double = double_carry(x[i], x[i + 2u][0] & 1u);
            let out = 7u * id.x;
            y[out] = p.low;
            y[out + 1u] = p.high;
            y[out + 2u] = low;
            y[out + 3u] = sum.digit;
            y[out + 4u] = difference.digit;
            y[out + 5u] = double.digit;
            y[out + 6u] = digit_of(sum.carry | difference.carry << 1u | double.carry << 2u);
        }";

    #[test]
    fn digits_are_core_wgsl() {
        assert_valid(&(digits(false) + MAIN), false);
        assert_valid(&(digits(true) + MAIN), true);
    }

    #[test]
    #[should_panic]
    fn wide_digits_are_not_core_wgsl() {
        assert_valid(&(digits(true) + MAIN), false);
    }

    /// The same by the textbook.
    fn expected(x: &[[u32; DIGIT]]) -> Vec<[u32; DIGIT]> {
        let [a, b, c, d] = *x.first_chunk().unwrap();
        let mut t = [0u32; 2 * DIGIT];
        t[..DIGIT].copy_from_slice(&c);
        for i in 0..DIGIT {
            let mut carry = u64::from(d[i]);
            for j in 0..DIGIT {
                carry += u64::from(a[j]) * u64::from(b[i]) + u64::from(t[i + j]);
                t[i + j] = carry as u32;
                carry >>= 32;
            }
            t[i + DIGIT] = carry as u32;
        }
        let chunk = |t: &[u32]| -> [u32; DIGIT] { t.try_into().unwrap() };
        let mut low = [0u32; DIGIT];
        for i in 0..DIGIT {
            let mut carry = 0;
            for j in 0..DIGIT - i {
                carry += u64::from(a[j]) * u64::from(b[i]) + u64::from(low[i + j]);
                low[i + j] = carry as u32;
                carry >>= 32;
            }
        }
        let bit = i64::from(c[0] & 1);
        let ripple = |words: &dyn Fn(usize) -> i64, first: i64| {
            let (mut carry, mut out) = (first, [0; DIGIT]);
            for (j, out) in out.iter_mut().enumerate() {
                carry += words(j);
                *out = carry as u32;
                carry >>= 32;
            }
            (out, carry.unsigned_abs() as u32)
        };
        let (sum, c1) = ripple(&|j| i64::from(a[j]) + i64::from(b[j]), bit);
        let (difference, c2) = ripple(&|j| i64::from(a[j]) - i64::from(b[j]), -bit);
        let (double, c3) = ripple(&|j| 2 * i64::from(a[j]), bit);
        let mut carries = [0; DIGIT];
        carries[0] = c1 | c2 << 1 | c3 << 2;
        vec![chunk(&t[..DIGIT]), chunk(&t[DIGIT..]), low, sum, difference, double, carries]
    }

    #[test]
    fn digits_agree_with_the_textbook() {
        let mut seed = 1u64;
        let mut word = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Many words at the edges, so that carries run far.
            match seed >> 61 {
                0 => 0,
                1 | 2 => u32::MAX,
                _ => (seed >> 24) as u32,
            }
        };
        let count = 500;
        let x: Vec<[u32; DIGIT]> = (0..4 * count).map(|_| std::array::from_fn(|_| word())).collect();
        let want: Vec<[u32; DIGIT]> = x.chunks(4).flat_map(expected).collect();
        for gpu in narrow_and_wide() {
            let program = gpu.program("digits", || digits(gpu.wide()) + MAIN).unwrap();
            let (input, output) = (gpu.upload(x.as_flattened()).unwrap(), gpu.zeros(7 * DIGIT * count).unwrap());
            gpu.run(&program, &[&input, &output], count).unwrap();
            let got = gpu.download(&output).unwrap();
            assert!(got.as_chunks::<DIGIT>().0 == want, "wide {}", gpu.wide());
        }
    }
}
