//! Memory for weights.

/// The bytes of a cache line, which a processor reads at once.
pub const LINE: usize = 64;

/// Returns the number of elements ahead of the first that begins a cache line, fewer than a line holds. A register that
/// takes a line is loaded from one there, not from parts of two.
pub fn before_line<T>(memory: &[T]) -> usize {
    memory.as_ptr().align_offset(LINE).min(LINE / size_of::<T>() - 1)
}

/// Asks the system to back memory that nothing has been written to by large pages. Weights are read from beginning to
/// end for every token, and looking up the addresses of small pages takes a quarter of that time.
#[cfg(target_os = "linux")]
pub fn in_large_pages<T>(memory: Vec<T>) -> Vec<T> {
    /// Pages begin at multiples of this or of less.
    const PAGE: usize = 1 << 16;
    let range = memory.as_ptr_range();
    let (start, end) = (range.start.addr().next_multiple_of(PAGE), range.end.addr() / PAGE * PAGE);
    if start < end {
        let inside = memory.as_ptr().cast_mut().wrapping_byte_add(start - range.start.addr());
        // SAFETY: the pages are inside the vector's memory, and advice changes nothing of what they hold. A refusal
        // costs time, nothing else.
        let _ = unsafe { libc::madvise(inside.cast(), end - start, libc::MADV_HUGEPAGE) };
    }
    memory
}

/// Asks the system to back memory that nothing has been written to by large pages.
#[cfg(not(target_os = "linux"))]
pub fn in_large_pages<T>(memory: Vec<T>) -> Vec<T> {
    memory
}
