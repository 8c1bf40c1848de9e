//! The class group of fixed capacity allocates nothing: an allocator that counts, and chains and proofs under it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use shardmark_kernels::backend::{BackendId, Control, Kernel, Options};
use shardmark_kernels::vdf::{self, DiscriminantValue, Prove, ProveInput, ProveParams, Scheme};

struct Counting;

thread_local! {
    // The test harness has threads of its own.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes everything on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while it does something.
fn allocations<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = COUNT.get();
    let result = work();
    (result, COUNT.get() - before)
}

#[test]
fn a_longer_chain_of_squarings_allocates_no_more() {
    for bits in [256, 1024, 2048] {
        let discriminant = DiscriminantValue::from_seed(bits, &[7; 32]).unwrap();
        let chain = |iterations| {
            let (y, count) = allocations(|| vdf::square_chain(&discriminant, iterations, &Control::default()));
            assert_eq!(y.unwrap().len(), Scheme::Bound264.proof_bytes(bits) / 2);
            count
        };
        let short = chain(1000);
        assert!(short > 0, "the allocator counts");
        assert_eq!((chain(1001), chain(4000)), (short, short), "{bits} bits");
    }
}

#[test]
fn above_the_fixed_capacity_squarings_allocate() {
    let discriminant = DiscriminantValue::from_seed(2056, &[7; 32]).unwrap();
    let (y, count) = allocations(|| vdf::square_chain(&discriminant, 100, &Control::default()));
    assert!(y.is_ok() && count > 100, "{count}");
}

/// Of the squarings only the kept powers are allocated, one each, and of the proof what its challenge needs: of the
/// compositions, one for every few squarings, nothing.
#[test]
fn a_proof_allocates_what_it_keeps_and_nothing_to_compose() {
    let params = ProveParams { scheme: Scheme::Bound264, discriminant_bits: 256, iterations: 1 };
    let setup = Prove::setup(&params, 1);
    let backend = Prove::open(BackendId::Cpu, &Options::default()).unwrap();
    let prepared = backend.prepare(&setup).unwrap();
    let count = |iterations| {
        let input = ProveInput { seed: setup.seeds[0], iterations };
        let (session, load) = allocations(|| prepared.load(&input));
        let mut session = session.unwrap();
        let (proved, execute) = allocations(|| session.execute(&Control::default()));
        proved.unwrap();
        (load, execute)
    };
    let iterations = 200_000;
    let (load, execute) = count(iterations);
    assert!(load < iterations / 5, "{load} allocations while squaring");
    assert!(execute < iterations / 50, "{execute} allocations while proving");
}
