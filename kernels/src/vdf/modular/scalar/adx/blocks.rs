//! The pieces that kernels are put together of, as text: rows of products on a window of eight limbs, and passes of
//! additions.
//!
//! The window is `r8` to `r15`. `mulx` writes no flag, `adcx` uses the carry flag alone and `adox` the overflow flag
//! alone, so the lower and the upper halves of a row's products run in a chain each (E. Ozturk, J. Guilford, V. Gopal
//! and W. Feghali, "New Instructions Supporting Large Integer Arithmetic on Intel Architecture Processors", 2012).

/// Adds `rdx` times limb `$j` of `[rsi]` to `$lo` (first chain) and `$hi` (second chain).
macro_rules! product {
    ($j:literal, $lo:literal, $hi:literal) => {
        concat!("mulx rbx, rax, [rsi + 8*", $j, "]\n", "adcx ", $lo, ", rax\n", "adox ", $hi, ", rbx\n")
    };
}

/// `rdx` times eight limbs of `[rsi]` into the window. `$a` leaves it, by `$emit`, and becomes its top: the sum fits
/// nine limbs. Both carries start anew in each row, so that rows overlap; `rcx` is 0 after it.
macro_rules! eight_products {
    ($emit:expr, $a:literal $b:literal $c:literal $d:literal $e:literal $f:literal $g:literal $h:literal) => {
        concat!(
            "xor ecx, ecx\n",
            "mulx rbx, rax, [rsi]\n",
            "adcx ",
            $a,
            ", rax\n",
            $emit,
            "adox ",
            $b,
            ", rbx\n",
            product!(1, $b, $c),
            product!(2, $c, $d),
            product!(3, $d, $e),
            product!(4, $e, $f),
            product!(5, $f, $g),
            product!(6, $g, $h),
            "mulx ",
            $a,
            ", rax, [rsi + 56]\n",
            "adcx ",
            $h,
            ", rax\n",
            "adox ",
            $a,
            ", rcx\n",
            "adcx ",
            $a,
            ", rcx\n",
        )
    };
}

/// Row `$i` of a chunk: limb `$i` of `[rbp]`, one limb out to `[rdi]`.
macro_rules! row {
    ($i:literal, $a:literal $($rest:literal)*) => {
        concat!(
            "mov rdx, [rbp + 8*", $i, "]\n",
            eight_products!(concat!("mov [rdi + 8*", $i, "], ", $a, "\n"), $a $($rest)*),
        )
    };
}

/// Row `$i` of the last block: the quotient that clears the window's lowest limb, kept at `[rbp]`. `rdi` is the
/// context.
macro_rules! quotient_row {
    ($i:literal, $a:literal $($rest:literal)*) => {
        concat!(
            "mov rdx, [rdi + 32]\n",
            "imul rdx, ", $a, "\n",
            "mov [rbp + 8*", $i, "], rdx\n",
            eight_products!("", $a $($rest)*),
        )
    };
}

/// Eight rows, the window turning by one register a row.
macro_rules! eight_rows {
    ($row:ident) => {
        concat!($row!(0, "r8" "r9" "r10" "r11" "r12" "r13" "r14" "r15"), later_rows!($row))
    };
}

/// The rows after the first.
macro_rules! later_rows {
    ($row:ident) => {
        concat!(
            $row!(1, "r9" "r10" "r11" "r12" "r13" "r14" "r15" "r8"),
            $row!(2, "r10" "r11" "r12" "r13" "r14" "r15" "r8" "r9"),
            $row!(3, "r11" "r12" "r13" "r14" "r15" "r8" "r9" "r10"),
            $row!(4, "r12" "r13" "r14" "r15" "r8" "r9" "r10" "r11"),
            $row!(5, "r13" "r14" "r15" "r8" "r9" "r10" "r11" "r12"),
            $row!(6, "r14" "r15" "r8" "r9" "r10" "r11" "r12" "r13"),
            $row!(7, "r15" "r8" "r9" "r10" "r11" "r12" "r13" "r14"),
        )
    };
}

/// One instruction for each register of the window: `$before`, the register, `$middle`, its byte offset, `$after`.
macro_rules! window {
    ($before:literal, $middle:expr, $after:literal) => {
        concat!(
            $before, "r8", $middle, "0", $after, "\n", $before, "r9", $middle, "8", $after, "\n", $before, "r10",
            $middle, "16", $after, "\n", $before, "r11", $middle, "24", $after, "\n", $before, "r12", $middle, "32",
            $after, "\n", $before, "r13", $middle, "40", $after, "\n", $before, "r14", $middle, "48", $after, "\n",
            $before, "r15", $middle, "56", $after, "\n",
        )
    };
}

macro_rules! window_load {
    ($base:literal) => {
        window!("mov ", concat!(", [", $base, " + "), "]")
    };
}

macro_rules! window_clear {
    () => {
        "xor r8d, r8d\nxor r9d, r9d\nxor r10d, r10d\nxor r11d, r11d\nxor r12d, r12d\nxor r13d, r13d\nxor r14d, r14d\nxor \
         r15d, r15d\n"
    };
}

macro_rules! window_store {
    ($base:literal) => {
        concat!(
            "mov [",
            $base,
            "], r8\nmov [",
            $base,
            " + 8], r9\nmov [",
            $base,
            " + 16], r10\nmov [",
            $base,
            " + 24], r11\n",
            "mov [",
            $base,
            " + 32], r12\nmov [",
            $base,
            " + 40], r13\nmov [",
            $base,
            " + 48], r14\nmov [",
            $base,
            " + 56], r15\n",
        )
    };
}

/// `[rdi] = window + (rcx != 0)`, which fits.
macro_rules! window_finish {
    () => {
        concat!(
            "neg rcx\nadc r8, 0\nadc r9, 0\nadc r10, 0\nadc r11, 0\nadc r12, 0\nadc r13, 0\nadc r14, 0\nadc r15, 0\n",
            window_store!("rdi"),
        )
    };
}

/// `[rdi] += window + (rcx != 0) + rdx`; what leaves, at most 2, in `rdx`.
macro_rules! window_add {
    () => {
        concat!(
            "mov eax, 0\nneg rcx\nadcx r8, [rdi]\nadox r8, rdx\nmov [rdi], r8\n",
            "adcx r9, [rdi + 8]\nadox r9, rax\nmov [rdi + 8], r9\n",
            "adcx r10, [rdi + 16]\nadox r10, rax\nmov [rdi + 16], r10\n",
            "adcx r11, [rdi + 24]\nadox r11, rax\nmov [rdi + 24], r11\n",
            "adcx r12, [rdi + 32]\nadox r12, rax\nmov [rdi + 32], r12\n",
            "adcx r13, [rdi + 40]\nadox r13, rax\nmov [rdi + 40], r13\n",
            "adcx r14, [rdi + 48]\nadox r14, rax\nmov [rdi + 48], r14\n",
            "adcx r15, [rdi + 56]\nadox r15, rax\nmov [rdi + 56], r15\n",
            "mov edx, 0\nadcx rdx, rax\nadox rdx, rax\n",
        )
    };
}

/// Products of limb `$i` of `[rsi]` with the limbs after it, in the triangle of a square.
macro_rules! triangle_row {
    ($i:literal; $($j:literal $lo:literal $hi:literal),*; $last:literal $low:literal $top:literal) => {
        concat!(
            "mov rdx, [rsi + 8*", $i, "]\n",
            "xor ecx, ecx\n",
            $(product!($j, $lo, $hi),)*
            "mulx ", $top, ", rax, [rsi + 8*", $last, "]\n",
            "adcx ", $low, ", rax\n",
            "adox ", $top, ", rcx\n",
            "adcx ", $top, ", rcx\n",
        )
    };
}

/// Doubles limbs `2 $j` and `2 $j + 1` of `[rdi]` in one chain and adds the square of limb `$j` of `[rsi]` in the
/// other.
macro_rules! double_and_square {
    ($j:literal) => {
        concat!(
            "mov rdx, [rsi + 8*",
            $j,
            "]\n",
            "mulx rbx, rax, rdx\n",
            "mov r8, [rdi + 16*",
            $j,
            "]\n",
            "mov r9, [rdi + 16*",
            $j,
            " + 8]\n",
            "adcx r8, r8\n",
            "adox r8, rax\n",
            "adcx r9, r9\n",
            "adox r9, rbx\n",
            "mov [rdi + 16*",
            $j,
            "], r8\n",
            "mov [rdi + 16*",
            $j,
            " + 8], r9\n",
        )
    };
}

/// Sixteen limbs one after another: to `rax`, then each operation with its operand, and back.
macro_rules! pass {
    ($base:literal $(, $add:literal $operand:literal)*) => {
        pass!(
            @ $base, ($($add $operand)*),
            "0" "8" "16" "24" "32" "40" "48" "56" "64" "72" "80" "88" "96" "104" "112" "120"
        )
    };
    (@ $base:literal, $adds:tt, $($at:literal)*) => {
        concat!($("mov rax, [", $base, " + ", $at, "]\n", pass!(@ $at, $adds), "mov [", $base, " + ", $at, "], rax\n",)*)
    };
    (@ $at:literal, ($($add:literal $operand:literal)*)) => {
        concat!($($add, " rax, ", $operand, $at, "]\n",)*)
    };
}

/// Complements 16 limbs at `[rdi]` where `xmm0` is all ones.
macro_rules! complement {
    ($($at:literal)*) => {
        concat!($("movups xmm1, [rdi + ", $at, "]\npxor xmm1, xmm0\nmovups [rdi + ", $at, "], xmm1\n",)*)
    };
}

/// Orders `rsi` and `rbx`, of `rdx` bytes each, by the first limb from the top that differs: the larger at `rsi`. The
/// carry says whether they changed places.
macro_rules! order {
    () => {
        "mov rax, rdx\n2:\nmov r8, [rsi + rax - 8]\ncmp r8, [rbx + rax - 8]\njne 3f\nsub rax, 8\njnz 2b\n3:\nmov rax, \
         rsi\ncmovb rsi, rbx\ncmovb rbx, rax\n"
    };
}

/// Adds `rax` at `[rcx]` and lets a carry, which is most rare, go on.
macro_rules! ripple {
    () => {
        "add [rcx], rax\njnc 6f\n5:\nadd rcx, 8\nadd qword ptr [rcx], 1\njc 5b\n6:\n"
    };
}

/// The middle part of a product of 16 limbs by 16 at `rdi`: `(q0 - q1) (m1 - m0) + q0 m0 + q1 m1`, these two at `rbx`.
/// In: the product of the magnitudes, and in `rax` -1 where its sign is minus, or 0. Out: the limb above in `rax`.
macro_rules! middle {
    () => {
        concat!(
            "movq xmm0, rax\npunpcklqdq xmm0, xmm0\n",
            complement!("0" "16" "32" "48" "64" "80" "96" "112"),
            "mov rdx, rax\nmov rcx, rax\nneg rdx\n",
            pass!("rdi", "adcx" "[rbx + ", "adox" "[rbx + 128 + "),
            "mov edx, 0\nadcx rcx, rdx\nadox rcx, rdx\nmov rax, rcx\n",
        )
    };
}

/// Adds that middle part, and the limb above it in `rdx`, to the product at `rbx - 64`.
macro_rules! inner {
    () => {
        concat!(
            "xor eax, eax\n",
            pass!("rbx", "adc" "[rdi + "),
            "mov rax, rdx\nadc rax, 0\nlea rcx, [rbx + 128]\n",
            ripple!(),
        )
    };
}

/// The frame of the entries, under the saved registers: end of an operand, output, context, scratch, and four of their
/// own.
macro_rules! prologue {
    () => {
        "push rbx\npush rbp\npush r12\npush r13\npush r14\npush r15\nsub rsp, 72\n"
    };
}

macro_rules! epilogue {
    () => {
        "add rsp, 72\npop r15\npop r14\npop r13\npop r12\npop rbp\npop rbx\nret\n"
    };
}
