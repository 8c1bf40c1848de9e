//! OpenSSL's libcrypto, from the system: modular squarings by one exponentiation in Montgomery form.

use std::ffi::{c_int, c_uchar};
use std::marker::{PhantomData, PhantomPinned};
use std::ptr::NonNull;

use super::Peer;
use super::rsa::{self, Opened, Squarings};

/// Something of the library's that is only ever pointed at.
#[repr(C)]
struct Opaque<T> {
    _data: [u8; 0],
    _marker: PhantomData<(*mut T, PhantomPinned)>,
}

enum NumberTag {}
enum ScratchTag {}
enum MontgomeryTag {}

type Number = Opaque<NumberTag>;
type Scratch = Opaque<ScratchTag>;
type Montgomery = Opaque<MontgomeryTag>;

// Declared by hand after openssl/bn.h. Functions that return a pointer return null, those that return an int 0 or less, when
// they fail; all of them only read what is declared const here.
#[link(name = "crypto")]
unsafe extern "C" {
    fn BN_new() -> *mut Number;
    fn BN_free(number: *mut Number);
    /// A new number if `to` is null.
    fn BN_bin2bn(bytes: *const c_uchar, length: c_int, to: *mut Number) -> *mut Number;
    /// Exactly `length` bytes, filled up with zeros; fails if that is too short.
    fn BN_bn2binpad(number: *const Number, to: *mut c_uchar, length: c_int) -> c_int;
    fn BN_set_bit(number: *mut Number, bit: c_int) -> c_int;
    fn BN_ucmp(a: *const Number, b: *const Number) -> c_int;
    fn BN_CTX_new() -> *mut Scratch;
    fn BN_CTX_free(scratch: *mut Scratch);
    fn BN_MONT_CTX_new() -> *mut Montgomery;
    fn BN_MONT_CTX_free(montgomery: *mut Montgomery);
    /// The modulus is odd.
    fn BN_MONT_CTX_set(montgomery: *mut Montgomery, modulus: *const Number, scratch: *mut Scratch) -> c_int;
    /// Not in constant time unless a number is flagged so.
    fn BN_mod_exp_mont(
        power: *mut Number,
        base: *const Number,
        exponent: *const Number,
        modulus: *const Number,
        scratch: *mut Scratch,
        montgomery: *mut Montgomery,
    ) -> c_int;
}

/// A pointer that the library made, and how it takes it back.
struct Owned<T> {
    pointer: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// `free` is the function for what `pointer` points to, if it is not null; nobody else calls it.
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        Some(Self { pointer: NonNull::new(pointer)?, free })
    }

    fn get(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the library made it, for this function, and it is not used afterwards.
        unsafe { (self.free)(self.get()) }
    }
}

fn number(bytes: &[u8]) -> Option<Owned<Number>> {
    let length = c_int::try_from(bytes.len()).ok()?;
    // SAFETY: the slice has as many bytes as are read.
    Owned::new(unsafe { BN_bin2bn(bytes.as_ptr(), length, std::ptr::null_mut()) }, BN_free)
}

/// Squarings by `BN_mod_exp_mont` with the exponent `2^T` and a Montgomery context made before.
pub const MOD_EXP: Peer<rsa::Open> = Peer {
    name: concat!("OpenSSL ", env!("VERSUS_OPENSSL"), " BN_mod_exp_mont"),
    timed: "one BN_mod_exp_mont by 2^T, its BN_MONT_CTX made before",
    call: Some(open),
};

struct ModExp {
    modulus: Owned<Number>,
    x: Owned<Number>,
    exponent: Owned<Number>,
    power: Owned<Number>,
    scratch: Owned<Scratch>,
    montgomery: Owned<Montgomery>,
    bytes: Vec<u8>,
}

fn open(modulus: &[u8], x: &[u8], iterations: u64) -> Opened {
    let iterations = c_int::try_from(iterations).map_err(|e| format!("OpenSSL: {e}"))?;
    if modulus.last().is_none_or(|byte| byte % 2 == 0) {
        return Err("OpenSSL: an odd modulus is wanted".into());
    }
    let opened = prepare(modulus, x, iterations);
    Ok(Box::new(opened.ok_or("OpenSSL: no memory, or x is not below the modulus")?))
}

fn prepare(modulus_be: &[u8], x: &[u8], iterations: c_int) -> Option<ModExp> {
    let (modulus, x) = (number(modulus_be)?, number(x)?);
    // SAFETY: makes a number, nothing else.
    let exponent = Owned::new(unsafe { BN_new() }, BN_free)?;
    // SAFETY: as before.
    let power = Owned::new(unsafe { BN_new() }, BN_free)?;
    // SAFETY: makes scratch space, nothing else.
    let scratch = Owned::new(unsafe { BN_CTX_new() }, BN_CTX_free)?;
    // SAFETY: makes an empty context, nothing else.
    let montgomery = Owned::new(unsafe { BN_MONT_CTX_new() }, BN_MONT_CTX_free)?;
    // SAFETY: all of them live, the modulus is odd, and the bit is not negative.
    let ready = unsafe {
        BN_ucmp(x.get(), modulus.get()) < 0
            && BN_set_bit(exponent.get(), iterations) == 1
            && BN_MONT_CTX_set(montgomery.get(), modulus.get(), scratch.get()) == 1
    };
    let bytes = vec![0; modulus_be.len()];
    ready.then_some(ModExp { modulus, x, exponent, power, scratch, montgomery, bytes })
}

impl Squarings for ModExp {
    fn run(&mut self) -> Option<Vec<u8>> {
        let Self { modulus, x, exponent, power, scratch, montgomery, bytes } = self;
        let length = c_int::try_from(bytes.len()).ok()?;
        // SAFETY: all of them live, and the context is of this modulus.
        let done = unsafe {
            BN_mod_exp_mont(power.get(), x.get(), exponent.get(), modulus.get(), scratch.get(), montgomery.get())
        };
        // SAFETY: the buffer has as many bytes as are written.
        let written = unsafe { BN_bn2binpad(power.get(), bytes.as_mut_ptr(), length) };
        (done == 1 && written == length).then(|| bytes.clone())
    }
}
