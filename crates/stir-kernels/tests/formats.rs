//! The formats against blocks that the Python package `gguf` has decoded (`fixtures/make_blocks.py`).
#![allow(clippy::unwrap_used, clippy::panic)]

use stir_kernels::Format;

#[derive(serde::Deserialize)]
struct Case {
    format: String,
    bytes: String,
    values: Vec<f32>,
}

#[test]
fn blocks_have_the_values_that_gguf_gives_them() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/blocks.json")).unwrap();
    for case in &cases {
        let format = Format::ALL.into_iter().find(|format| format.name() == case.format).unwrap();
        let bytes: Vec<u8> = case
            .bytes
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let mut values = vec![f32::NAN; case.values.len()];
        format.dequantise(&bytes, &mut values);
        for (i, (found, expected)) in values.iter().zip(&case.values).enumerate() {
            let gap = (found - expected).abs();
            assert!(gap <= 1e-6 * expected.abs().max(1e-3), "{format} {i}: {found}, expected {expected}");
        }
    }
    // F32 is left: bytes are values.
    assert_eq!(cases.len() + 1, Format::ALL.len());
    let mut values = [0.0; 2];
    Format::F32.dequantise(&[1.5f32, -0.0].map(f32::to_le_bytes).concat(), &mut values);
    assert_eq!(values.map(f32::to_bits), [1.5f32, -0.0].map(f32::to_bits));
}

#[test]
fn numbers_and_sizes() {
    for format in Format::ALL {
        assert_eq!(Format::from_ggml(format.ggml()), Some(format));
        assert_eq!(format.bytes_for(format.block_len() * 3), Some(format.block_bytes() * 3));
    }
    assert_eq!(Format::from_ggml(16), None);
    assert_eq!(Format::Q4K.bytes_for(255), None);
    assert_eq!(Format::F32.bytes_for(usize::MAX), None);
}
