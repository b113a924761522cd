//! Sessions take the memory that they state, and weights that of their files. This file counts every allocation of its
//! process and so holds one test.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use stir_core::{Engine, Row, Session};
use stir_model::{ComputeType, DeviceSpec, KvCache, Lm, LoadOptions};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

#[test]
fn models_and_sessions_take_what_is_stated() {
    sessions();
    weights_in_16_bits();
}

fn weights_in_16_bits() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/qwen2-untied-bf16-sharded");
    let [kept, widened] = [false, true].map(|dequantise| {
        let options = LoadOptions { dequantise, ..LoadOptions::default() };
        let before = live();
        let lm = Lm::load_with(&dir, &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap();
        let taken = live() - before;
        drop(lm);
        taken
    });
    let files = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap());
    let weights = files.filter(|file| file.file_name().to_string_lossy().starts_with("model-"));
    let stored: usize = weights.map(|file| file.metadata().unwrap().len() as usize).sum();
    assert!(kept * 10 <= stored * 11, "{kept} bytes, {stored} in files");
    assert!(widened * 10 >= stored * 18, "{widened} bytes, {stored} in files");
}

fn sessions() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models/qwen3-qknorm");
    for compute in [ComputeType::F32, ComputeType::Bf16] {
        let options = LoadOptions { compute, ..LoadOptions::default() };
        let lm = Lm::load_with(&dir, &DeviceSpec::CPU.open().unwrap(), options, |_| ()).unwrap();
        let encode = |session: &mut KvCache, count: usize| {
            let tokens = vec![1; count];
            lm.forward(&mut [Row { session, tokens: &tokens, additions: vec![], capture: &[], logits: false }])
                .unwrap();
        };
        // What goes with a session is what it has taken: a pass also leaves working memory to the next ones.
        let check = |what: &str, session: KvCache, positions: usize| {
            let (held, stated) = (session.bytes(), lm.session_bytes(positions));
            let before = live();
            drop(session);
            let taken = before - live();
            assert_eq!(held, stated, "{what}");
            assert!(taken.abs_diff(stated) * 10 <= stated, "{what}: {taken} bytes, stated {stated}");
        };
        for positions in [64, 100, 200, 256] {
            let mut session = lm.session();
            encode(&mut session, positions);
            let fork = session.fork();
            let before = live();
            drop(fork);
            assert!(before - live() < lm.session_bytes(positions) / 10);
            check(&format!("{positions} at once as {compute}"), session, positions);
        }
        let mut session = lm.session();
        (0..200).for_each(|_| encode(&mut session, 1));
        check(&format!("200 one by one as {compute}"), session, 200);
        // It outlives forks that ran next to it, as at control points.
        let mut session = lm.session();
        for _ in 0..20 {
            let fork = session.fork();
            encode(&mut session, 1);
            encode(&mut session, 2);
            drop(fork);
            encode(&mut session, 7);
        }
        check(&format!("next to 20 forks as {compute}"), session, 200);
    }
}
