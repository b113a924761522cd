//! The merges of a sentencepiece vocabulary, which files give as scores.

use std::{cmp::Reverse, collections::HashMap};

/// The longest token, in bytes, that may be built from parts. Published vocabularies have at most a hundred or so.
pub(super) const LONGEST: usize = 512;
/// Bound on the ways to build tokens from two others, as a multiple of the number of tokens. Published vocabularies
/// have two to three for each.
pub(super) const MOST_PER_TOKEN: usize = 8;

/// A way to build a token.
struct Merge<'a> {
    score: f32,
    left: &'a str,
    right: &'a str,
    /// The ids of both.
    ids: [usize; 2],
}

/// Returns the pairs of tokens that make a third, in the order in which they are merged: the highest score of what they
/// make first, as Hugging Face's conversion has them. `None` if there are more than [`MOST_PER_TOKEN`] allows.
///
/// `tokens` are ids, texts of at most [`LONGEST`] bytes, and scores.
pub(super) fn merges(tokens: &[(usize, &str, f32)]) -> Option<Vec<(String, String)>> {
    let ids: HashMap<&str, usize> = tokens.iter().map(|&(id, text, _)| (text, id)).collect();
    let mut merges = Vec::new();
    for &(_, text, score) in tokens {
        let start = merges.len();
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(&first), Some(&second)) = (ids.get(left), ids.get(right)) {
                merges.push(Merge { score, left, right, ids: [first, second] });
            }
        }
        merges[start..].sort_by_key(|merge| merge.ids);
        if merges.len() > MOST_PER_TOKEN * tokens.len() {
            return None;
        }
    }
    let length = |text: &str| text.chars().count();
    merges.sort_by(|a, b| {
        let lengths = |merge: &Merge<'_>| Reverse((length(merge.left), length(merge.right)));
        b.score.total_cmp(&a.score).then_with(|| lengths(a).cmp(&lengths(b)))
    });
    Some(merges.into_iter().map(|merge| (merge.left.to_owned(), merge.right.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tokens: &[(&str, f32)]) -> Vec<String> {
        let tokens: Vec<_> = tokens.iter().enumerate().map(|(id, &(text, score))| (id, text, score)).collect();
        merges(&tokens).unwrap().into_iter().map(|(left, right)| format!("{left}+{right}")).collect()
    }

    #[test]
    fn what_scores_higher_is_merged_first() {
        let letters = [("a", -9.0), ("b", -9.0), ("▁", -9.0)];
        let tokens = [&letters[..], &[("ab", -2.0), ("▁a", -1.0), ("▁ab", -3.0)]].concat();
        // The same token: the longer left part first.
        assert_eq!(of(&tokens), ["▁+a", "a+b", "▁a+b", "▁+ab"]);
    }

    #[test]
    fn runs_cannot_blow_up() {
        let texts: Vec<String> = (1..200).map(|n| "x".repeat(n)).collect();
        let tokens: Vec<_> = texts.iter().enumerate().map(|(id, text)| (id, text.as_str(), 0.0)).collect();
        assert!(merges(&tokens).is_none());
        assert!(merges(&tokens[..10]).is_some());
    }
}
