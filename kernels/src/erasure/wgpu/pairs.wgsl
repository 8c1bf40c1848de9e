// The same over a field of 65,536 elements: rows are runs of 16 words, 8 of the low bytes of 32 symbols and 8 of the high
// ones. A coefficient is eight words, each two elements of 16 bits. An invocation computes four symbols of eight rows.

const WORDS = 8u;

fn product(p: u32, q: u32, pair: u32) -> vec2<u32> {
    let low = (p & ((pair & 0xffu) * 0x01010101u)) ^ (q & ((pair >> 16u & 0xffu) * 0x01010101u));
    let high = (p & ((pair >> 8u & 0xffu) * 0x01010101u)) ^ (q & ((pair >> 24u) * 0x01010101u));
    return vec2<u32>(low, high);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let columns = job[0]; let rows = job[1]; let words = job[2];
    let u = id.x % (words / 2u);
    let tile = id.x / (words / 2u);
    if tile * ROWS >= rows { return; }
    let low = u / 8u * 16u + u % 8u;
    let high = low + 8u;
    var sums: array<vec2<u32>, ROWS>;
    for (var j = 0u; j < columns; j++) {
        let x = inputs[j * words + low];
        let y = inputs[j * words + high];
        var at = (tile * columns + j) * ROWS * WORDS;
        let p0 = spread(x); let p1 = spread(x >> 1u); let p2 = spread(x >> 2u); let p3 = spread(x >> 3u);
        let p4 = spread(x >> 4u); let p5 = spread(x >> 5u); let p6 = spread(x >> 6u); let p7 = spread(x >> 7u);
        let q0 = spread(y); let q1 = spread(y >> 1u); let q2 = spread(y >> 2u); let q3 = spread(y >> 3u);
        let q4 = spread(y >> 4u); let q5 = spread(y >> 5u); let q6 = spread(y >> 6u); let q7 = spread(y >> 7u);
        for (var r = 0u; r < ROWS; r++) {
            sums[r] ^= product(p0, p1, planes[at]) ^ product(p2, p3, planes[at + 1u])
                ^ product(p4, p5, planes[at + 2u]) ^ product(p6, p7, planes[at + 3u])
                ^ product(q0, q1, planes[at + 4u]) ^ product(q2, q3, planes[at + 5u])
                ^ product(q4, q5, planes[at + 6u]) ^ product(q6, q7, planes[at + 7u]);
            at += WORDS;
        }
    }
    for (var r = 0u; r < ROWS && tile * ROWS + r < rows; r++) {
        outputs[(tile * ROWS + r) * words + low] = sums[r].x;
        outputs[(tile * ROWS + r) * words + high] = sums[r].y;
    }
}
