//! Subroutines over blocks of eight limbs: products, plain squares and the reduction.
//!
//! They pass registers as their comments say: no calling convention would keep eight limbs in registers. None uses the
//! space below the stack pointer, and none is for Rust to call.

use std::arch::naked_asm;

/// `[rdi] += [rbp] * [rsi]` by chunks of eight limbs, until `rsi` is the end that the caller keeps at its `[rsp]`.
///
/// In: the window, which belongs at `[rdi]`; `rcx` 0, or -1 for a carry into the window. Out: the window beyond the
/// last chunk, with its carry in `rcx` and its place in `rdi`. `rbp` holds eight limbs and stays.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn mul_add_chunks() {
    naked_asm!(
        "cmp rsi, [rsp + 8]",
        "je 3f",
        ".p2align 5",
        "2:",
        "neg rcx",
        window!("adc ", ", [rdi + ", "]"),
        "sbb rcx, rcx",
        "push rcx",
        eight_rows!(row),
        "pop rcx",
        "add rsi, 64",
        "add rdi, 64",
        "cmp rsi, [rsp + 8]",
        "jne 2b",
        "3:",
        "ret",
    )
}

/// `[rdi] = [rbp] * [rsi]`, eight limbs each. The pointers stay.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn product_of_eight() {
    naked_asm!(
        "mov rdx, [rbp]",
        "mulx r9, rax, [rsi]",
        "mov [rdi], rax",
        "mulx r10, rax, [rsi + 8]",
        "add r9, rax",
        "mulx r11, rax, [rsi + 16]",
        "adc r10, rax",
        "mulx r12, rax, [rsi + 24]",
        "adc r11, rax",
        "mulx r13, rax, [rsi + 32]",
        "adc r12, rax",
        "mulx r14, rax, [rsi + 40]",
        "adc r13, rax",
        "mulx r15, rax, [rsi + 48]",
        "adc r14, rax",
        "mulx r8, rax, [rsi + 56]",
        "adc r15, rax",
        "adc r8, 0",
        later_rows!(row),
        window_store!("rdi + 64"),
        "ret",
    )
}

/// Reduces the scratch's `2b` blocks into the output, by the frame of the entries: from the block
/// at `rbp` on, with `rdx` to carry above the top.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn reduce() {
    naked_asm!(
        // Own frame: end of the operand, carry out of the last window, carry out of the whole. The caller's is 32 bytes
        // up.
        "sub rsp, 24",
        "mov [rsp + 16], rdx",
        "mov qword ptr [rsp + 8], 0",
        "2:",
        "mov rdi, [rsp + 48]",
        "mov rax, [rdi + 24]",
        "mov rdx, [rsp + 56]",
        "lea rdx, [rdx + rax - 64]",
        "cmp rbp, rdx",
        "je 3f",
        "mov rsi, [rdi + 8]",
        "add rax, rsi",
        "mov [rsp], rax",
        "lea rdi, [rbp + 64]",
        window_clear!(),
        "xor ecx, ecx",
        "call {chunks}",
        "mov rdx, [rsp + 8]",
        window_add!(),
        "mov [rsp + 8], rdx",
        "add rbp, 64",
        "jmp 2b",
        // The last block, with the modulus itself.
        "3:",
        "mov rsi, [rdi]",
        "add rax, rsi",
        "mov [rsp], rax",
        window_load!("rbp"),
        eight_rows!(quotient_row),
        "add rsi, 64",
        "lea rdi, [rbp + 64]",
        "xor ecx, ecx",
        "call {chunks}",
        // The multiple of the modulus to take away, from the top limb before carries come to it: never too large.
        "mov rbx, [rsp + 8]",
        "add rbx, [rsp + 16]",
        "mov rdx, rbx",
        "mov rax, r15",
        "add rax, [rdi + 56]",
        "adc rdx, 0",
        "shr rax, 4",
        "shl rdx, 60",
        "or rdx, rax",
        "mov rsi, [rsp + 48]",
        "mulx rdx, rax, [rsi + 40]",
        "shr rdx, 56",
        "mov eax, 3",
        "cmp rdx, rax",
        "cmova rdx, rax",
        "sub rbx, [rsi + 8*rdx + 48]",
        "imul rdx, [rsi + 24]",
        "add rdx, [rsi + 16]",
        "mov rsi, rdx",
        "xor edx, edx",
        window_add!(),
        "lea r8, [rbx + rdx]",
        "mov rdx, rsi",
        "mov rdi, [rsp + 48]",
        "mov rcx, [rdi + 24]",
        "mov rsi, [rsp + 56]",
        "add rsi, rcx",
        "mov rdi, [rsp + 40]",
        "shr rcx, 6",
        "xor eax, eax",
        "4:",
        "mov rax, [rsi]",
        "adc rax, [rdx]",
        "mov [rdi], rax",
        "mov rax, [rsi + 8]",
        "adc rax, [rdx + 8]",
        "mov [rdi + 8], rax",
        "mov rax, [rsi + 16]",
        "adc rax, [rdx + 16]",
        "mov [rdi + 16], rax",
        "mov rax, [rsi + 24]",
        "adc rax, [rdx + 24]",
        "mov [rdi + 24], rax",
        "mov rax, [rsi + 32]",
        "adc rax, [rdx + 32]",
        "mov [rdi + 32], rax",
        "mov rax, [rsi + 40]",
        "adc rax, [rdx + 40]",
        "mov [rdi + 40], rax",
        "mov rax, [rsi + 48]",
        "adc rax, [rdx + 48]",
        "mov [rdi + 48], rax",
        "mov rax, [rsi + 56]",
        "adc rax, [rdx + 56]",
        "mov [rdi + 56], rax",
        "lea rsi, [rsi + 64]",
        "lea rdx, [rdx + 64]",
        "lea rdi, [rdi + 64]",
        "dec rcx",
        "jnz 4b",
        "adc r8, 0",
        "jnz 5f",
        "add rsp, 24",
        "ret",
        // The estimate was one short just where the value reaches R.
        "5:",
        "mov rax, [rsp + 48]",
        "mov rcx, [rax + 24]",
        "mov rsi, [rax]",
        "mov rdi, [rsp + 40]",
        "shr rcx, 3",
        "xor eax, eax",
        "6:",
        "mov rax, [rsi]",
        "sbb [rdi], rax",
        "lea rsi, [rsi + 8]",
        "lea rdi, [rdi + 8]",
        "dec rcx",
        "jnz 6b",
        "sbb r8, 0",
        "jnz 5b",
        "add rsp, 24",
        "ret",
        chunks = sym mul_add_chunks,
    )
}

/// Half of `[rsi]^2` less its diagonal, at `rdi`, for the `rdx` bytes at `rsi`, a multiple of 64: every product of two
/// different limbs, once.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn off_diagonal() {
    naked_asm!(
        // Frame: end of the operand, operand, output.
        "sub rsp, 24",
        "mov [rsp + 8], rsi",
        "mov [rsp + 16], rdi",
        "lea rax, [rsi + rdx]",
        "mov [rsp], rax",
        // The limbs that the first block adds to.
        "pxor xmm0, xmm0",
        "3:",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "movups [rdi + 32], xmm0",
        "movups [rdi + 48], xmm0",
        "add rdi, 64",
        "sub rdx, 64",
        "jnz 3b",
        "mov rdi, [rsp + 16]",
        // Block i: its own triangle at limb 16 i, then its products with the blocks after it.
        "4:",
        "mov rbp, rsi",
        "mov r9, [rdi + 8]",
        "mov r10, [rdi + 16]",
        "mov r11, [rdi + 24]",
        "mov r12, [rdi + 32]",
        "mov r13, [rdi + 40]",
        "mov r14, [rdi + 48]",
        "mov r15, [rdi + 56]",
        triangle_row!(0; 1 "r9" "r10", 2 "r10" "r11", 3 "r11" "r12", 4 "r12" "r13", 5 "r13" "r14", 6 "r14" "r15"; 7 "r15" "r8"),
        "mov [rdi + 8], r9",
        "mov [rdi + 16], r10",
        triangle_row!(1; 2 "r11" "r12", 3 "r12" "r13", 4 "r13" "r14", 5 "r14" "r15", 6 "r15" "r8"; 7 "r8" "r9"),
        "mov [rdi + 24], r11",
        "mov [rdi + 32], r12",
        triangle_row!(2; 3 "r13" "r14", 4 "r14" "r15", 5 "r15" "r8", 6 "r8" "r9"; 7 "r9" "r10"),
        "mov [rdi + 40], r13",
        "mov [rdi + 48], r14",
        triangle_row!(3; 4 "r15" "r8", 5 "r8" "r9", 6 "r9" "r10"; 7 "r10" "r11"),
        "mov [rdi + 56], r15",
        triangle_row!(4; 5 "r9" "r10", 6 "r10" "r11"; 7 "r11" "r12"),
        triangle_row!(5; 6 "r11" "r12"; 7 "r12" "r13"),
        triangle_row!(6; ; 7 "r13" "r14"),
        "xor r15d, r15d",
        "xor ecx, ecx",
        "add rsi, 64",
        "add rdi, 64",
        "call {chunks}",
        window_finish!(),
        "lea rsi, [rbp + 64]",
        "cmp rsi, [rsp]",
        "je 5f",
        "mov rdi, rsi",
        "sub rdi, [rsp + 8]",
        "add rdi, rdi",
        "add rdi, [rsp + 16]",
        "jmp 4b",
        "5:",
        "add rsp, 24",
        "ret",
        chunks = sym mul_add_chunks,
    )
}

/// Completes the square of `rcx` blocks of eight limbs at `rsi` from what [`off_diagonal`] left at `rdi`.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn complete() {
    naked_asm!(
        "xor eax, eax",
        // Both flags live through the loop.
        "6:",
        double_and_square!(0),
        double_and_square!(1),
        double_and_square!(2),
        double_and_square!(3),
        double_and_square!(4),
        double_and_square!(5),
        double_and_square!(6),
        double_and_square!(7),
        "lea rsi, [rsi + 64]",
        "lea rdi, [rdi + 128]",
        "lea rcx, [rcx - 1]",
        "jrcxz 7f",
        "jmp 6b",
        "7:",
        "ret",
    )
}

/// `[rdi] = [rsi]^2` for the `rdx` bytes at `rsi`, a multiple of 64.
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn square_plain() {
    naked_asm!(
        "push rsi",
        "push rdi",
        "push rdx",
        "call {off_diagonal}",
        "pop rcx",
        "pop rdi",
        "pop rsi",
        "shr rcx, 6",
        "jmp {complete}",
        off_diagonal = sym off_diagonal,
        complete = sym complete,
    )
}
