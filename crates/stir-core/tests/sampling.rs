//! Sampling against what transformers computes; `fixtures/sampling.py` wrote the expectations.

use std::collections::BTreeMap;

use serde::Deserialize;
use stir_core::{SampleRng, Sampling, TokenId};

#[derive(Deserialize)]
struct Case {
    sampling: Sampling,
    logits: Vec<f32>,
    history: Vec<TokenId>,
    kept: Vec<(TokenId, f64)>,
}

#[test]
fn what_is_left_is_what_transformers_leaves() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/sampling.json")).unwrap();
    assert_eq!(cases.len(), 11);
    for Case { sampling, logits, history, kept } in cases {
        sampling.validate().unwrap();
        let found = sampling.distribution(&logits, &history).unwrap();
        assert!(found.is_sorted_by(|a, b| a.1 >= b.1), "likeliest first");
        let found: BTreeMap<TokenId, f64> = found.into_iter().collect();
        let kept: BTreeMap<TokenId, f64> = kept.into_iter().collect();
        assert!(found.keys().eq(kept.keys()), "{sampling:?}: {found:?} is not {kept:?}");
        // Logits are divided and compared in f32 here and in f64 there.
        assert!(found.values().zip(kept.values()).all(|(found, kept)| (found - kept).abs() < 1e-6), "{sampling:?}");

        // What is drawn follows what is left.
        let (n, mut rng, mut counts) = (4000, SampleRng::new(1, 0), BTreeMap::<TokenId, f64>::new());
        for _ in 0..n {
            *counts.entry(sampling.pick(&logits, &history, &mut rng).unwrap().token).or_default() += 1.0;
        }
        assert!(counts.keys().all(|token| kept.contains_key(token)));
        for (token, p) in kept {
            let standard_error = (p * (1.0 - p) / f64::from(n)).sqrt();
            let share = counts.get(&token).copied().unwrap_or_default() / f64::from(n);
            assert!((share - p).abs() <= 4.5 * standard_error + 1e-9, "{sampling:?} token {token}: {share} for {p}");
        }
    }
}

/// Draws of settings from before top-k, min-p and the penalty, made by the version that had only these two.
#[test]
fn older_settings_draw_what_they_drew() {
    let logits: Vec<f32> = (0..500).map(|i| ((i * 37 % 101) as f32).sin() * 3.0).collect();
    let draw = |temperature, top_p| {
        let sampling = Sampling { temperature, top_p, ..Sampling::GREEDY };
        let mut rng = SampleRng::new(7, 3);
        [0; 8].map(|_| sampling.pick(&logits, &[1, 2, 3], &mut rng).unwrap().token)
    };
    assert_eq!(draw(0.7, 0.95), PINNED[0]);
    assert_eq!(draw(1.0, 1.0), PINNED[1]);
    assert_eq!(draw(1.3, 0.5), PINNED[2]);
}

const PINNED: [[TokenId; 8]; 3] = [
    [287, 316, 144, 251, 453, 237, 180, 150],
    [265, 179, 40, 143, 446, 402, 235, 143],
    [280, 114, 229, 366, 467, 258, 135, 366],
];
