use serde_json::Value;

/// The rule by which the text of a vocabulary entry becomes the bytes it adds to the output: the part of a tokenizer's
/// decoder that looks at one token at a time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pieces(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// Every character encodes a byte.
    ByteLevel,
    /// `<0xNN>` is a byte.
    ByteFallback,
    /// One string for another, as `▁` for a space.
    Replace { from: String, to: String },
    /// Without a decoder tokens are words, with a space between them.
    Word,
}

impl Pieces {
    pub(crate) const SUPPORTED: &str =
        "ByteLevel, Metaspace, or Replace of a string and ByteFallback, then Fuse and Strip";

    /// Reads the `decoder` of a `tokenizer.json`. The error is the part of it that is not supported.
    pub(crate) fn of_decoder(decoder: &Value) -> Result<Self, &Value> {
        let mut steps = Vec::new();
        let mut fused = false;
        if decoder.is_null() {
            steps.push(Step::Word);
        } else {
            collect(decoder, &mut steps, &mut fused)?;
        }
        Ok(Self(steps))
    }

    /// Returns the bytes of one vocabulary entry.
    pub(crate) fn bytes(&self, mut piece: String) -> Vec<u8> {
        for step in &self.0 {
            match step {
                Step::Replace { from, to } => piece = piece.replace(from, to),
                Step::Word => piece.insert(0, ' '),
                Step::ByteFallback => {
                    if let Some(byte) = byte_token(&piece) {
                        return vec![byte];
                    }
                }
                // A piece with a character that encodes no byte (an added token with a space in it, say) is text.
                Step::ByteLevel => {
                    return piece.chars().map(byte_of).collect::<Option<_>>().unwrap_or_else(|| piece.into_bytes());
                }
            }
        }
        piece.into_bytes()
    }
}

fn collect<'v>(decoder: &'v Value, steps: &mut Vec<Step>, fused: &mut bool) -> Result<(), &'v Value> {
    let step = match (decoder["type"].as_str().unwrap_or_default(), *fused) {
        ("Sequence", _) => {
            let inner = decoder["decoders"].as_array().ok_or(decoder)?;
            return inner.iter().try_for_each(|decoder| collect(decoder, steps, fused));
        }
        ("Fuse", _) => {
            *fused = true;
            return Ok(());
        }
        // From here on the decoder sees the text as a whole. What it strips is at the ends, where no answer starts.
        ("Strip", true) => return Ok(()),
        ("ByteLevel", false) => {
            *fused = true;
            Step::ByteLevel
        }
        ("ByteFallback", false) => Step::ByteFallback,
        ("Metaspace", false) => {
            let from = decoder["replacement"].as_str().ok_or(decoder)?.to_owned();
            Step::Replace { from, to: " ".into() }
        }
        ("Replace", false) => {
            let from = decoder["pattern"]["String"].as_str().filter(|from| !from.is_empty()).ok_or(decoder)?;
            let to = decoder["content"].as_str().ok_or(decoder)?;
            Step::Replace { from: from.into(), to: to.into() }
        }
        _ => return Err(decoder),
    };
    steps.push(step);
    Ok(())
}

/// Returns the byte that `<0xNN>` encodes.
fn byte_token(piece: &str) -> Option<u8> {
    let hex = piece.strip_prefix("<0x")?.strip_suffix('>').filter(|hex| hex.len() == 2)?;
    u8::from_str_radix(hex, 16).ok()
}

/// Returns the byte that a character of a byte-level vocabulary encodes. Printable characters encode themselves;
/// the other bytes, in order, for the characters from U+0100 on.
fn byte_of(c: char) -> Option<u8> {
    let own = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff => Some(code as u8).filter(|&byte| own(byte)),
        code => (0..=u8::MAX).filter(|&byte| !own(byte)).nth(code as usize - 0x100),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(decoder: Value, piece: &str) -> Vec<u8> {
        Pieces::of_decoder(&decoder).unwrap().bytes(piece.into())
    }

    #[test]
    fn byte_level_characters_cover_every_byte_once() {
        let mut bytes: Vec<u8> = ('\u{0}'..='\u{ffff}').filter_map(byte_of).collect();
        assert_eq!(bytes.len(), 256);
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), 256);
        assert_eq!(
            (byte_of('Ġ'), byte_of('Ċ'), byte_of('a'), byte_of(' ')),
            (Some(b' '), Some(b'\n'), Some(b'a'), None)
        );
    }

    #[test]
    fn pieces_become_bytes_as_their_decoder_says() {
        let byte_level = || json!({"type": "ByteLevel"});
        assert_eq!(bytes(byte_level(), "Ġcaf\u{c3}"), b" caf\xc3");
        // With one character outside the alphabet all of it is text.
        assert_eq!(bytes(byte_level(), "Ġ 1"), "Ġ 1".as_bytes());
        assert_eq!(bytes(byte_level(), "<0x41>"), b"<0x41>");

        let replace = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
        let fallback = json!({"type": "ByteFallback"});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        let sentencepiece = || json!({"type": "Sequence", "decoders": [&replace, &fallback, {"type": "Fuse"}, &strip]});
        assert_eq!(bytes(sentencepiece(), "▁the▁"), b" the ");
        assert_eq!(bytes(sentencepiece(), "<0xe2>"), b"\xe2");
        assert_eq!(bytes(sentencepiece(), "<0xe2>x"), b"<0xe2>x");
        assert_eq!(bytes(replace.clone(), "<0xE2>"), b"<0xE2>");
        assert_eq!(bytes(json!({"type": "Metaspace", "replacement": "_"}), "_a▁"), " a▁".as_bytes());
        assert_eq!(bytes(Value::Null, "word"), b" word");
    }

    #[test]
    fn decoders_that_mix_tokens_are_refused() {
        let regex = json!({"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        let piece = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
        for decoder in [&regex, &strip, &piece] {
            let sequence = json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, decoder]});
            assert_eq!(Pieces::of_decoder(&sequence), Err(decoder));
        }
    }
}
