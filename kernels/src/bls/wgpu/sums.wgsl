// Sums of points, one an invocation: sum i is of the terms starts[i] to starts[i + 1].
//
// Points are homogeneous, (X : Y : Z) with x = X / Z and y = Y / Z, and infinity is (0 : 1 : 0). The addition is complete:
// it holds for equal and opposite points and for infinity, on any curve without points of even order. Renes, Costello,
// Batina, "Complete addition formulas for prime order elliptic curves", eprint 2015/1060, algorithm 7.
//
// The field `F` and the terms come before this text.

struct Point { x: F, y: F, z: F }

// The twelve products go by sixes through a loop: the text of one is long, and compilers would write out every one.
fn add_points(p: Point, q: Point) -> Point {
    var a = array<F, 6>(p.x, p.y, p.z, add(p.x, p.y), add(p.y, p.z), add(p.x, p.z));
    var b = array<F, 6>(q.x, q.y, q.z, add(q.x, q.y), add(q.y, q.z), add(q.x, q.z));
    for (var i = 0u; i < 6u; i++) { a[i] = mul(a[i], b[i]); }
    let t0 = add(add(a[0], a[0]), a[0]);
    let t2 = mul_3b(a[2]);
    let t1 = sub(a[1], t2);
    let t3 = sub(a[3], add(a[0], a[1]));
    let t4 = sub(a[4], add(a[1], a[2]));
    let y = mul_3b(sub(a[5], add(a[0], a[2])));
    let z = add(a[1], t2);
    a = array<F, 6>(t3, t4, t1, y, z, t0);
    b = array<F, 6>(t1, y, z, t0, t4, t3);
    for (var i = 0u; i < 6u; i++) { a[i] = mul(a[i], b[i]); }
    return Point(sub(a[0], a[1]), add(a[2], a[3]), add(a[4], a[5]));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i + 1u >= arrayLength(&starts) { return; }
    var sum = Point(F(), one(), F());
    for (var at = starts[i]; at < starts[i + 1u]; at++) { sum = add_points(sum, term(at)); }
    put(3u * WORDS * i, sum.x);
    put(3u * WORDS * i + WORDS, sum.y);
    put(3u * WORDS * i + 2u * WORDS, sum.z);
}
