// Fermat's test to base 2: 2^(n - 1) for every odd modulus n, bit by bit of the exponent from the top. Job is how many bits
// were done and how many there are to do; a verdict is 1 where the power is 1 once all are done.

@group(0) @binding(3) var<storage, read> job: array<u32>;
@group(0) @binding(4) var<storage, read_write> verdicts: array<u32>;

// x = R, from the highest power of two in the modulus.
fn one(bits: u32) {
    for (var j = 0u; j < K; j++) { x[j] = digit_of(0u); }
    let top = bits - 1u;
    x[top / (32u * DIGIT)][top / 32u % DIGIT] = 1u << (top % 32u);
    for (var i = top; i < 32u * DIGIT * K; i++) { double(); }
}

fn bits_of_modulus() -> u32 {
    var bits = 0u;
    for (var j = 0u; j < K; j++) {
        for (var l = 0u; l < DIGIT; l++) {
            let word = modulus[j][l];
            if word != 0u { bits = 32u * (j * DIGIT + l) + firstLeadingBit(word) + 1u; }
        }
    }
    return bits;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = arrayLength(&verdicts);
    if id.x >= n { return; }
    load_modulus(id.x);
    let bits = bits_of_modulus();
    if job[0] == 0u { one(bits); } else { load_value(id.x, n); }
    for (var done = job[0]; done < min(job[0] + job[1], bits); done++) {
        square();
        let at = bits - 1u - done;
        // The exponent is the modulus but for its lowest bit.
        let bit = modulus[at / (32u * DIGIT)][at / 32u % DIGIT] >> (at % 32u) & 1u;
        if at > 0u && bit == 1u { double(); }
    }
    store_value(id.x, n);
    if job[0] + job[1] < bits { return; }
    // Whether x is R modulo n.
    var last: array<Digit, K>;
    for (var j = 0u; j < K; j++) { last[j] = x[j]; }
    one(bits);
    var same = true;
    for (var j = 0u; j < K; j++) {
        for (var l = 0u; l < DIGIT; l++) { same = same && last[j][l] == x[j][l]; }
    }
    verdicts[id.x] = u32(same);
}
