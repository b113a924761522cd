//! What reading a file allocates follows from the length of the file, whatever numbers are in it. This file counts every
//! allocation of its process and so holds one test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use common::library;
use stir_basis::Library;

struct Largest;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

#[test]
fn memory_follows_from_the_length_of_the_file() {
    const HEADER: usize = 8 + 4 + 8 + 32;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    library(1, 5, 3).save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    // Lengths of a text or a list, of 4 GiB less some, at every place.
    for at in HEADER..whole.len() {
        let mut payload = whole[HEADER..].to_vec();
        payload.splice(at - HEADER..at - HEADER + 1, [252, 0, 252, 255, 255]);
        let header = [&whole[..12], &(payload.len() as u64).to_le_bytes(), blake3::hash(&payload).as_bytes()].concat();
        fs::write(&path, [header, payload].concat()).unwrap();
        LARGEST.store(0, Relaxed);
        drop(Library::load(&path));
        let largest = LARGEST.load(Relaxed);
        assert!(largest < 2 << 20, "{largest} bytes for one of {} at {at}", whole.len());
    }
}
