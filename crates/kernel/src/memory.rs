//! Which pages of itself a process keeps, and of what it no longer needs.

use libc::{PF_W, PT_LOAD, c_int, c_void, dl_phdr_info};
use rustix::mm::{Advice, madvise};
use std::ffi::CStr;
use std::ops::Range;

/// Gives back what was needed a while ago: free memory of the heap, and the code and constants of the executable and its
/// libraries. What runs on is mapped again as it is touched, from the page cache; what only the start or a change needed
/// (the reading of a configuration, say) stays away.
///
/// Memory that is locked ([`lock_memory`](crate::privilege::lock_memory)) stays as it is.
pub fn forget_idle() {
    give_back();
    for pages in unwritable_pages() {
        let address = pages.start as *mut c_void;
        // SAFETY: these are whole pages of a file mapped without write permission. Neither a Rust executable nor the system's
        // libraries are linked with text relocations, so nobody ever wrote to them, and the file gives them back as they are.
        let _kept_when_locked = unsafe { madvise(address, pages.len(), Advice::LinuxDontNeed) };
    }
}

/// Gives what was freed back to the system, as far as it makes whole pages: after a configuration was read, which takes many
/// times what stays of it.
pub fn give_back() {
    // SAFETY: the call takes no pointer, and touches nothing but the allocator's own records.
    unsafe { libc::malloc_trim(0) };
}

/// Keeps what is freed from now on, up to this many bytes at the end of the heap, for whoever asks next: a process that reads
/// one configuration after another has its pages from the last time then, and the system need not clear new ones.
pub fn keep_freed(bytes: i32) {
    // SAFETY: both calls take numbers, and set limits of the allocator.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, bytes);
        // The most that it takes: larger pieces are mapped one by one, and unmapped when they are freed.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
    }
}

/// Addresses of whole pages of files that cannot be written and never could. (What can only no longer be written, because it
/// holds relocated addresses, lies in a writable segment.)
fn unwritable_pages() -> Vec<Range<usize>> {
    let mut found = Vec::new();
    // SAFETY: the callback has the type that the function wants, and the list outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(add_object), (&raw mut found).cast()) };
    found
}

/// Called with the executable, which has no name, with the libraries, and with what the kernel maps by itself, whose name is
/// no path. Returning 0 goes on.
///
/// # Safety
///
/// `info` describes a loaded object, and `found` points to a `Vec<Range<usize>>` that nobody else uses.
unsafe extern "C" fn add_object(info: *mut dl_phdr_info, _size: usize, found: *mut c_void) -> c_int {
    // SAFETY: as promised by the caller.
    let (info, found) = unsafe { (&*info, &mut *found.cast::<Vec<Range<usize>>>()) };
    // SAFETY: the loader keeps the name for as long as the object is loaded; null is no name.
    let name = if info.dlpi_name.is_null() { c"" } else { unsafe { CStr::from_ptr(info.dlpi_name) } };
    if !name.is_empty() && !name.to_bytes().contains(&b'/') {
        return 0;
    }
    // SAFETY: the loader keeps the program headers, of which there are `dlpi_phnum`.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let page = rustix::param::page_size();
    for header in headers.iter().filter(|header| header.p_type == PT_LOAD && header.p_flags & PF_W == 0) {
        let start = info.dlpi_addr as usize + header.p_vaddr as usize;
        let end = start + header.p_memsz as usize;
        found.push(start.next_multiple_of(page)..end - end % page);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    static TABLE: [u64; 4096] = {
        let mut table = [0; 4096];
        let mut at = 0;
        while at < table.len() {
            table[at] = (at * at) as u64;
            at += 1;
        }
        table
    };

    #[test]
    fn code_and_constants_are_the_same_after_they_were_forgotten() {
        let ranges = unwritable_pages();
        let holds = |address: usize| ranges.iter().any(|range| range.contains(&address));
        assert!(holds(unwritable_pages as *const () as usize), "the code is found");
        assert!(holds(TABLE.as_ptr() as usize), "and the constants");
        assert!(holds(libc::getpid as *const () as usize), "and the libraries");
        let mut written = vec![1; 10_000];
        assert!(!holds(written.as_ptr() as usize));
        for round in 0..3 {
            forget_idle();
            written.push(round);
            assert!(std::hint::black_box(&TABLE).iter().enumerate().all(|(at, &square)| square == (at * at) as u64));
        }
        assert_eq!(written[10_000..], [0, 1, 2]);
    }
}
