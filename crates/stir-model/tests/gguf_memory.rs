//! What reading a GGUF file allocates follows from the length of the file, whatever numbers are in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use common::gguf_file::{GgufFile, Item, model, sentencepiece};
use stir_core::SampleRng;
use stir_model::gguf::Model;

/// The system's allocator, with the sizes of all that is allocated and the largest sum since it was last set to 0.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns the most memory that opening a file of `bytes` takes at a time.
fn memory_of(bytes: &[u8]) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    drop(Model::open(&path));
    MOST.load(Relaxed) - before
}

/// One test, since all threads of a program share its allocator.
#[test]
fn memory_follows_from_the_length_of_the_file() {
    // Regular expressions and the like are made once.
    memory_of(&model("qwen2").bytes());
    let whole = memory_of(&model("qwen2").bytes());

    // Counts at every place where there is one, and others in the middle of numbers.
    let bytes = model("gemma3").bytes();
    let header = bytes.len() - model("gemma3").tensors.iter().map(|tensor| tensor.data.len()).sum::<usize>();
    let mut rng = SampleRng::new(9, 0);
    for at in (4..header - 8).step_by(11) {
        let mut bytes = bytes.clone();
        let number = [1 << 31, 1 << 40, u64::from(u32::MAX), 1 << 61, u64::MAX, 4096][rng.below(6)];
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        let most = memory_of(&bytes);
        assert!(most < 2 * whole, "{number:#x} at byte {at}: {most} bytes, {whole} of a whole file");
    }

    // Many entries, keys, tokens and tensors, each as short as can be.
    let (mut keys, mut tensors) = (GgufFile::new(), model("llama"));
    for i in 0..20_000 {
        keys.set(&format!("{i:x}"), Item::Flag(0));
        tensors.floats(&format!("{i:x}"), &[1], &[0.0]);
    }
    let mut tokens = model("llama");
    let texts: Vec<String> = (0..60_000).map(|i| format!("{i:x}")).collect();
    tokens.set("tokenizer.ggml.token_type", Item::I32s(vec![4; texts.len()]));
    tokens.set("tokenizer.ggml.merges", Item::Texts(vec![])).set("tokenizer.ggml.tokens", Item::Texts(texts));
    tokens.find("token_embd.weight").dims = vec![1, 60_000];
    tokens.find("token_embd.weight").data = vec![0; 240_000];
    // As many ways to make a token from two others as are allowed.
    let mut runs = model("llama");
    sentencepiece(&mut runs);
    let letters = (0x4e00..0x5200).filter_map(char::from_u32);
    let texts: Vec<String> = letters.flat_map(|c| (1..=17).map(move |n| String::from(c).repeat(n))).collect();
    runs.remove("tokenizer.ggml.token_type").set("tokenizer.ggml.scores", Item::F32s(vec![0.0; texts.len()]));
    runs.find("token_embd.weight").dims = vec![1, texts.len() as u64];
    runs.find("token_embd.weight").data = vec![0; 4 * texts.len()];
    runs.set("tokenizer.ggml.tokens", Item::Texts(texts));
    for (what, file) in [("keys", keys), ("tensors", tensors), ("tokens", tokens), ("runs", runs)] {
        let bytes = file.bytes();
        let most = memory_of(&bytes);
        assert!(most < whole + 60 * bytes.len(), "{what}: {most} bytes for {} of the file", bytes.len());
    }
}
