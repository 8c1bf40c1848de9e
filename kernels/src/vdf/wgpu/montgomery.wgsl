// Montgomery arithmetic modulo odd numbers of K digits, one number an invocation, R = 2^(32 DIGIT K).
//
// Numbers lie limb by limb: word l of number i of n is at l n + i, so that neighbours read neighbours. With one modulus for
// all there is one. Everything stays below its modulus. Product and reduction by rows of digits: Koc, Acar, Kaliski,
// "Analyzing and Comparing Montgomery Multiplication Algorithms", 1996, SOS.
//
// `K` and the functions on digits come before this text, an entry point after it.

@group(0) @binding(0) var<storage, read> moduli: array<u32>;
// -1 / modulus modulo a digit's range.
@group(0) @binding(1) var<storage, read> inverses: array<u32>;
@group(0) @binding(2) var<storage, read_write> values: array<u32>;

var<private> modulus: array<Digit, K>;
var<private> inverse: Digit;
var<private> x: array<Digit, K>;
// A product of two numbers.
var<private> t: array<Digit, 2u * K>;

fn load_modulus(i: u32) {
    let n = arrayLength(&inverses) / DIGIT;
    for (var j = 0u; j < K; j++) {
        for (var l = 0u; l < DIGIT; l++) { modulus[j][l] = moduli[(j * DIGIT + l) * n + i % n]; }
    }
    for (var l = 0u; l < DIGIT; l++) { inverse[l] = inverses[l * n + i % n]; }
}

fn load_value(i: u32, n: u32) {
    for (var j = 0u; j < K; j++) {
        for (var l = 0u; l < DIGIT; l++) { x[j][l] = values[(j * DIGIT + l) * n + i]; }
    }
}

fn store_value(i: u32, n: u32) {
    for (var j = 0u; j < K; j++) {
        for (var l = 0u; l < DIGIT; l++) { values[(j * DIGIT + l) * n + i] = x[j][l]; }
    }
}

// x = top R + the number in the digits of t from `first` on, less the modulus if it is not below it; less than two of it.
fn reduce_once(first: u32, top: u32) {
    var borrow = 0u;
    for (var j = 0u; j < K; j++) {
        let d = subtract_borrow(t[first + j], modulus[j], borrow);
        x[j] = d.digit;
        borrow = d.carry;
    }
    if top < borrow {
        for (var j = 0u; j < K; j++) { x[j] = t[first + j]; }
    }
}

// x = t / R.
fn reduce() {
    var top = 0u;
    for (var i = 0u; i < K; i++) {
        let q = multiply_low(t[i], inverse);
        var carry = digit_of(0u);
        for (var j = 0u; j < K; j++) {
            let p = multiply_add(q, modulus[j], t[i + j], carry);
            t[i + j] = p.low;
            carry = p.high;
        }
        let s = add_carry(t[i + K], carry, top);
        t[i + K] = s.digit;
        top = s.carry;
    }
    reduce_once(K, top);
}

// x = x x / R. Products of different digits count twice.
fn square() {
    for (var i = 0u; i < 2u * K; i++) { t[i] = digit_of(0u); }
    for (var i = 0u; i < K; i++) {
        var carry = digit_of(0u);
        for (var j = i + 1u; j < K; j++) {
            let p = multiply_add(x[i], x[j], t[i + j], carry);
            t[i + j] = p.low;
            carry = p.high;
        }
        t[i + K] = carry;
    }
    var bit = 0u;
    var carry = 0u;
    for (var i = 0u; i < K; i++) {
        let p = multiply_add(x[i], x[i], digit_of(0u), digit_of(0u));
        let low = double_carry(t[2u * i], bit);
        let high = double_carry(t[2u * i + 1u], low.carry);
        bit = high.carry;
        let s = add_carry(low.digit, p.low, carry);
        let u = add_carry(high.digit, p.high, s.carry);
        t[2u * i] = s.digit;
        t[2u * i + 1u] = u.digit;
        carry = u.carry;
    }
    reduce();
}

// x = 2 x.
fn double() {
    var bit = 0u;
    for (var j = 0u; j < K; j++) {
        let d = double_carry(x[j], bit);
        t[j] = d.digit;
        bit = d.carry;
    }
    reduce_once(0u, bit);
}
