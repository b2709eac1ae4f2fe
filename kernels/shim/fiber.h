// A change of stacks: saves the callee-saved registers and the stack pointer at *save, and continues at `load`.
#pragma once
#include <cstdint>

#if defined(__x86_64__)
extern "C" void l402_shim_switch(void** save, void* load);
asm(R"(
.text
.globl l402_shim_switch
.hidden l402_shim_switch
.type l402_shim_switch,@function
l402_shim_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp,(%rdi)
    mov %rsi,%rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.size l402_shim_switch,.-l402_shim_switch
)");
// A stack that begins in `entry`.
static inline void* fiber_prepare(char* stack_end, void (*entry)()) {
    void** top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack_end) & ~uintptr_t(15)) - 2;
    top[0] = reinterpret_cast<void*>(entry);
    top[1] = nullptr;
    for (int i = 1; i <= 6; i++) top[-i] = nullptr;
    return top - 6;
}

#elif defined(__aarch64__)
extern "C" void l402_shim_switch(void** save, void* load);
asm(R"(
.text
.globl l402_shim_switch
.hidden l402_shim_switch
.type l402_shim_switch,%function
l402_shim_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size l402_shim_switch,.-l402_shim_switch
)");
static inline void* fiber_prepare(char* stack_end, void (*entry)()) {
    char* top = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(stack_end) & ~uintptr_t(15)) - 160;
    for (int i = 0; i < 20; i++) reinterpret_cast<void**>(top)[i] = nullptr;
    reinterpret_cast<void**>(top)[11] = reinterpret_cast<void*>(entry);
    return top;
}

#else
#error "the shim changes stacks on x86-64 and aarch64"
#endif
