//! The layer-4 data plane as a program for XDP: its source in C, the object made from it, and the layouts of the maps that
//! it shares with the plane in `evenkeel-kernel`.
//!
//! The object is committed, so that building evenkeel takes neither clang nor a network. `cargo xtask bpf` makes it anew
//! from `src/bpf`, and `cargo xtask bpf --check` proves that it is what the source gives.

pub mod abi;

/// The compiled program, with debugging information about its types (BTF) for the kernel and the loader.
pub fn object() -> &'static [u8] {
    &OBJECT.0
}

/// Name of the program in [`object`].
pub const PROGRAM: &str = "evenkeel";

/// Where readers of ELF files expect their tables: at multiples of eight.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!("../object/evenkeel.bpf.o"));
