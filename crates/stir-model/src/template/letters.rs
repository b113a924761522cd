//! Characters as Python sees them.

/// Returns whether a character is upper, lower or title case.
pub(super) fn is_cased(c: char) -> bool {
    c.is_uppercase() || c.is_lowercase() || matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ')
}

/// Returns a character as the first of a word.
pub(super) fn upper_first(c: char) -> String {
    match c {
        'Ǆ' | 'ǆ' => "ǅ".into(),
        'Ǉ' | 'ǉ' => "ǈ".into(),
        'Ǌ' | 'ǌ' => "ǋ".into(),
        'Ǳ' | 'ǳ' => "ǲ".into(),
        'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' => c.into(),
        _ => {
            let mut upper = c.to_uppercase();
            let first: String = upper.next().into_iter().collect();
            first + &upper.flat_map(char::to_lowercase).collect::<String>()
        }
    }
}

/// Begins every run of cased characters with a capital.
pub(super) fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.push_str(&upper_first(c));
        }
        inside = is_cased(c);
    }
    out
}

/// Returns whether capitals start words, and only words.
pub(super) fn is_title(text: &str) -> bool {
    let mut inside = false;
    text.chars().all(|c| {
        let right = !is_cased(c) || c.is_lowercase() == inside;
        inside = is_cased(c);
        right
    })
}

/// Returns whether a character is a digit of a decimal system. Their digits follow each other.
pub(super) fn is_decimal(c: char) -> bool {
    const ZEROS: [u32; 38] = [
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
        0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
        0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0,
    ];
    ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&u32::from(c)))
}
