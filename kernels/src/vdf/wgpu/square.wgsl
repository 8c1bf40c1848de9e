// Chains of squarings: job is squarings, whether to enter Montgomery form before (1) and to leave it after (2).

@group(0) @binding(3) var<storage, read> job: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = arrayLength(&values) / (K * DIGIT);
    if id.x >= n { return; }
    load_modulus(id.x);
    load_value(id.x, n);
    if (job[1] & 1u) != 0u {
        // x R, one doubling a bit.
        for (var i = 0u; i < 32u * DIGIT * K; i++) { double(); }
    }
    for (var i = 0u; i < job[0]; i++) { square(); }
    if (job[1] & 2u) != 0u {
        for (var j = 0u; j < K; j++) { t[j] = x[j]; t[K + j] = digit_of(0u); }
        reduce();
    }
    store_value(id.x, n);
}
