// Products of a matrix over a field of 256 elements with rows of bytes, four symbols a word.
//
// A product with a constant is linear in the bits of a symbol: where bit i is set, the constant times the element of bit i
// is added. A coefficient is these eight elements, each in all four bytes of a word. An invocation computes one word of
// eight rows, so that an input is taken apart once for all of them.

const BITS = 8u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let columns = job[0]; let rows = job[1]; let words = job[2];
    let u = id.x % words;
    let tile = id.x / words;
    if tile * ROWS >= rows { return; }
    var sums: array<u32, ROWS>;
    for (var j = 0u; j < columns; j++) {
        let x = inputs[j * words + u];
        var at = (tile * columns + j) * ROWS * BITS;
        let p0 = spread(x); let p1 = spread(x >> 1u); let p2 = spread(x >> 2u); let p3 = spread(x >> 3u);
        let p4 = spread(x >> 4u); let p5 = spread(x >> 5u); let p6 = spread(x >> 6u); let p7 = spread(x >> 7u);
        for (var r = 0u; r < ROWS; r++) {
            sums[r] ^= (p0 & planes[at]) ^ (p1 & planes[at + 1u]) ^ (p2 & planes[at + 2u]) ^ (p3 & planes[at + 3u])
                ^ (p4 & planes[at + 4u]) ^ (p5 & planes[at + 5u]) ^ (p6 & planes[at + 6u]) ^ (p7 & planes[at + 7u]);
            at += BITS;
        }
    }
    for (var r = 0u; r < ROWS && tile * ROWS + r < rows; r++) {
        outputs[(tile * ROWS + r) * words + u] = sums[r];
    }
}
