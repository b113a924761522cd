//! Files that are broken at random: whatever is in them, reading ends, and in an error or in something whole.

use std::path::Path;

use memmap2::MmapMut;
use stir_core::{SampleRng, toy::fuzz_runs};
pub(crate) use stir_kernels::Format;

use self::gguf_file::{GgufFile, Item, SIZES, byte_level, model, sentencepiece};
use super::{
    ControlVectors,
    files::{Files, PartFile},
    header::Header,
};

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../tests/common/gguf_file.rs"]
mod gguf_file;

/// Small files of all kinds, so that a change at a random place is likely to hit what matters.
fn seeds() -> Vec<Vec<u8>> {
    let mut bare = GgufFile::new();
    bare.set("general.architecture", "llama").set("a", Item::U64(7)).set("b", Item::Flags(vec![0, 1]));
    bare.floats("x", &[2, 3], &[1.0; 6]).floats("y", &[1], &[2.0]);
    bare.set("c", Item::I32s(vec![1, -1])).set("d", Item::Texts(vec!["e".into(), String::new()]));
    let mut text = GgufFile::new();
    text.set("tokenizer.ggml.add_bos_token", Item::Flag(1));
    sentencepiece(&mut text);
    let mut bytes = GgufFile::new();
    byte_level(&mut bytes, "llama-bpe");
    // Without the vocabulary most of a model is what its configuration follows from.
    let mut llama = model("llama");
    llama.metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
    llama.floats("rope_freqs.weight", &[4], &[1.0; 4]);
    llama.tensors.retain(|tensor| !tensor.name.contains("ffn") && !tensor.name.contains("blk.1"));
    let mut vectors = GgufFile::new();
    vectors.set("general.architecture", "controlvector").set("controlvector.model_hint", "llama");
    vectors.floats("direction.1", &[3], &[1.0; 3]).floats("direction.12", &[3], &[-1.0; 3]);
    [bare.bytes(), model("gemma3").bytes(), text.bytes(), bytes.bytes(), llama.bytes(), vectors.bytes()].into()
}

/// Changes some of the bytes, most often to numbers that mean something at an edge.
fn mutate(bytes: &mut Vec<u8>, rng: &mut SampleRng) {
    const NUMBERS: [u64; 10] = [0, 1, 2, 9, 31, 255, u32::MAX as u64, 1 << 61, i64::MAX as u64, u64::MAX];
    for _ in 0..1 + rng.below(4) * rng.below(2) {
        if bytes.is_empty() {
            return;
        }
        // The beginning has the counts, most of the rest is much alike.
        let bound = if rng.below(4) == 0 { bytes.len().min(64) } else { bytes.len() };
        let at = rng.below(bound);
        // What moves the rest is rarely whole afterwards.
        match rng.below(10) {
            0..4 => bytes[at] ^= 1 << rng.below(8),
            4 => bytes[at] = rng.below(256) as u8,
            5 => bytes.truncate(at),
            6..8 => {
                let number = NUMBERS[rng.below(NUMBERS.len())].to_le_bytes();
                let width = [1, 4, 8][rng.below(3)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            8 => {
                let length = (1 + rng.below(16)).min(bytes.len() - at);
                let part = bytes[at..at + length].to_vec();
                let place = rng.below(bytes.len());
                bytes.splice(place..place, part);
            }
            _ => drop(bytes.drain(at..(at + 1 + rng.below(16)).min(bytes.len()))),
        }
    }
}

/// Reads `count` broken files. Returns how many were still whole.
fn run(count: usize, seed: u64, read: impl Fn(&[u8]) -> bool) -> usize {
    let (seeds, mut rng, mut whole) = (seeds(), SampleRng::new(seed, 0), 0);
    let mut bytes = Vec::new();
    for i in 0..count {
        bytes.clear();
        bytes.extend(&seeds[i % seeds.len()]);
        mutate(&mut bytes, &mut rng);
        whole += usize::from(read(&bytes));
    }
    whole
}

fn header(file: &[u8]) -> bool {
    let Ok(header) = Header::read(file) else { return false };
    // What was found is inside of the file, and in order.
    let mut last = 0;
    for tensor in &header.tensors {
        assert!(last <= tensor.data.start && tensor.data.start <= tensor.data.end && tensor.data.end <= file.len());
        assert_eq!(tensor.format.bytes_for(tensor.shape.iter().product()), Some(tensor.data.len()));
        last = tensor.data.end;
    }
    true
}

/// Reads control vectors, or everything that [`Model::open`](super::Model::open) does, and uses the tokenizer.
fn everything(file: &[u8]) -> bool {
    let Ok(header) = Header::read(file) else { return false };
    let mut map = MmapMut::map_anon(file.len()).unwrap();
    map.copy_from_slice(file);
    let path = Path::new("fuzz.gguf");
    let part = PartFile { path: path.to_owned(), map: map.make_read_only().unwrap(), header };
    if let Ok(vectors) = ControlVectors::read(&part) {
        let rows = vectors.directions().iter().map(|(&layer, vector)| (layer > 0 && !vector.is_empty(), vector));
        assert!(rows.clone().all(|(valid, vector)| valid && vector.iter().all(|x| x.is_finite())) && rows.len() > 0);
        return true;
    }
    let files = Files { parts: vec![part] };
    let metadata = files.metadata(path).unwrap();
    let text = match super::tokenizer::text(metadata, SIZES[6]) {
        Ok((Some(tokenizer), ..)) => {
            let ids = tokenizer.encode_prompt("the <s>th\n\n12 é").unwrap_or_default();
            tokenizer.vocab(Vec::new()).text(&ids);
            true
        }
        _ => false,
    };
    let Ok(config) = super::config::config(&files, metadata) else { return text };
    let Ok(checkpoint) = super::tensors(path, files, &config) else { return text };
    for tensor in checkpoint.tensors() {
        checkpoint.floats(tensor.name).unwrap();
    }
    true
}

#[test]
fn broken_files_are_errors() {
    let whole = run(20_000, 1, header);
    assert!(whole > 2000, "{whole}");
    let whole = run(1000, 2, everything);
    assert!(whole > 100, "{whole}");
}

#[test]
#[ignore = "takes minutes: STIR_FUZZ files, and a hundredth of that for all that is made of them"]
fn many_broken_files_are_errors() {
    let (count, seed) = fuzz_runs(1_000_000);
    let headers = run(count, seed, header);
    let models = run(count / 100, seed, everything);
    assert!(headers > count / 10 && models > count / 1000, "{headers} {models}");
}
