//! The rules of planning and deciding, one by one.

use std::sync::Arc;

use stir_basis::{Action, BasisError, Entry, Library, normalize};
use stir_controller::{
    Candidate, ControlState, Controller, ControllerConfig, ControllerError, Decision, LayerState, Plan, Planned,
    ProbeScores, Scope, Scored, Variant,
};
use stir_core::{Fingerprint, HookPoint, SettingError};

fn fingerprint() -> Fingerprint {
    Fingerprint {
        architecture: "toy".into(),
        n_layers: 4,
        hidden_size: 2,
        vocab_size: 9,
        tokenizer: "t".into(),
        weights: "w".into(),
    }
}

/// An entry at m = 1 whose key has cosine `s` with [1, 0].
fn entry(s: f32, quality: f64, vector: Option<[f32; 2]>) -> Entry {
    let key = normalize(&[s, (1.0 - s * s).sqrt()]).unwrap().into();
    let action = vector.map_or(Action::Stay, |vector| Action::Steer(vector.to_vec()));
    Entry { problem: "p".into(), m: 1, layer: 1, quality, key, action, ..Entry::default() }
}

fn wrong(s: f32, quality: f64) -> Entry {
    entry(s, quality, Some([1.0, 2.0]))
}

fn right(s: f32, quality: f64) -> Entry {
    entry(s, quality, None)
}

fn library(entries: Vec<Entry>) -> Library {
    Library::from_entries(fingerprint(), entries).unwrap()
}

/// Control point `m` of sequence 0 with these states.
fn at(m: usize, states: &[(usize, [f32; 2])]) -> ControlState {
    let state = |&(layer, values): &(usize, [f32; 2])| LayerState { layer, values: values.to_vec() };
    ControlState { sequence: 0, m, states: states.iter().map(state).collect() }
}

const HERE: [(usize, [f32; 2]); 1] = [(1, [5.0, 0.0])];

fn controller(config: ControllerConfig, entries: Vec<Entry>) -> Controller {
    Controller::new(library(entries), &fingerprint(), config).unwrap()
}

/// Plans at m = 1 with the query [1, 0].
fn planned(config: ControllerConfig, entries: Vec<Entry>) -> (Controller, Planned) {
    let controller = controller(config, entries);
    let planned = controller.plan(&at(1, &HERE));
    (controller, planned)
}

/// The plan of what is to be probed.
fn probed(planned: Planned) -> Plan {
    match planned {
        Planned::Probe(plan) => plan,
        Planned::Decided(decision) => panic!("{decision:?}"),
    }
}

/// Probes with these gains, where there is something to probe, and decides.
fn settled(config: ControllerConfig, entries: Vec<Entry>, gains: &[f64]) -> Decision {
    match planned(config, entries) {
        (_, Planned::Decided(decision)) => decision,
        (controller, Planned::Probe(plan)) => {
            let probes = ProbeScores { null: -1.0, candidates: gains.iter().map(|gain| gain - 1.0).collect() };
            controller.decide(plan, &probes).unwrap()
        }
    }
}

/// Decides with these gains; says which entry won, its scale, its score, the null score and what was not finite.
fn decided(config: ControllerConfig, entries: Vec<Entry>, gains: &[f64]) -> (Option<usize>, f32, f64, f64, usize) {
    let Decision { commit, score, null_score, non_finite, .. } = settled(config, entries, gains);
    let scale = commit.as_ref().map_or(0.0, |commit| commit.scale);
    (commit.and_then(|commit| commit.entry), scale, score, null_score, non_finite)
}

fn found(planned: Planned) -> Vec<Candidate> {
    match planned {
        Planned::Probe(plan) => plan.candidates().to_vec(),
        Planned::Decided(decision) => {
            assert!(decision.candidates.is_empty());
            Vec::new()
        }
    }
}

fn candidates(config: ControllerConfig, entries: Vec<Entry>) -> Vec<usize> {
    found(planned(config, entries).1).iter().map(|candidate| candidate.entry).collect()
}

fn base() -> ControllerConfig {
    ControllerConfig::default()
}

#[test]
fn advantage_and_score() {
    let (won, scale, score, null, _) = decided(base(), vec![wrong(0.5, 0.8), right(1.0, 0.3)], &[0.5]);
    assert_eq!(won, Some(0));
    assert!((null - 2.0 * 0.3).abs() < 1e-6);
    assert!((score - (2.0 * 0.5 * 0.8 + 0.1 * 0.5)).abs() < 1e-6);
    assert!((f64::from(scale) - score).abs() < 1e-6);
    let config = ControllerConfig { k_scale: 0.75, ..base() };
    let (_, scale, score, ..) = decided(config, vec![wrong(0.5, 0.8)], &[0.5]);
    assert!((f64::from(scale) - 0.75 * score).abs() < 1e-6);
}

#[test]
fn right_entries_hold_back_but_never_push() {
    // The larger of the right advantages counts, not that of the nearer entry.
    let (won, .., null, _) = decided(base(), vec![wrong(1.0, 0.5), right(1.0, 0.1), right(0.8, 0.7)], &[0.0]);
    assert_eq!(won, None);
    assert!((null - 2.0 * 0.56).abs() < 1e-6);
    // A right entry on the far side is no reason to steer: its advantage is cut off at 0.
    let config = ControllerConfig { min_similarity: -1.0, ..base() };
    let (won, .., null, _) = decided(config, vec![wrong(-0.5, 0.5), right(-1.0, 1.0)], &[0.0]);
    assert_eq!((won, null), (None, 0.0));
}

#[test]
fn the_best_candidates_by_advantage_similarity_and_quality() {
    let entries = || vec![wrong(1.0, 0.1), wrong(0.9, 0.9), right(0.99, 0.5), wrong(0.8, 0.5), wrong(0.7, 0.9)];
    assert_eq!(candidates(base(), entries()), [1, 4, 3, 0]);
    assert_eq!(candidates(ControllerConfig { candidates: 2, ..base() }, entries()), [1, 4]);
    // Retrieval is by similarity, before advantages are looked at.
    assert_eq!(candidates(ControllerConfig { retrieve: 2, ..base() }, entries()), [0]);
    // Equal advantage: the nearer. Equal in that too: the higher quality. Equal in all: the earlier.
    assert_eq!(candidates(base(), vec![wrong(0.5, 0.0), wrong(0.6, 0.0)]), [1, 0]);
    assert_eq!(candidates(base(), vec![wrong(0.0, 0.2), wrong(0.0, 0.6), wrong(0.0, 0.2)]), [1, 0, 2]);
}

#[test]
fn a_tie_is_no_win() {
    // One entry of each kind, equally near and good: the gain alone decides.
    let tied = |gain: f64| {
        let config = ControllerConfig { rho: 1.0, ..base() };
        let (controller, planned) = planned(config, vec![wrong(1.0, 0.25), right(1.0, 0.25)]);
        let probes = ProbeScores { null: 0.0, candidates: vec![gain] };
        controller.decide(probed(planned), &probes).unwrap().commit.is_some()
    };
    assert_eq!([0.0, 5e-13, 2e-12].map(tied), [false, false, true]);
    // Between candidates the first of equal scores wins.
    let config = ControllerConfig { beta: 0.0, ..base() };
    assert_eq!(decided(config, vec![wrong(0.5, 1.0), wrong(0.6, 1.0)], &[1.0, 1.0]).0, Some(1));
}

#[test]
fn a_winner_reaches_tau_and_has_a_scale() {
    let win = |tau_null, k_scale, beta, gain| {
        decided(ControllerConfig { tau_null, k_scale, beta, ..base() }, vec![wrong(1.0, 0.5)], &[gain]).0.is_some()
    };
    assert!(win(1.0, 1.0, 2.0, 0.0));
    assert!(!win(1.001, 1.0, 2.0, 0.0));
    assert!(!win(0.0, 0.0, 2.0, 0.0), "no scale");
    assert!(!win(-9.0, 1.0, 0.0, -1.0), "a negative score does not beat doing nothing");
}

#[test]
fn too_little_or_too_far() {
    let count = |config, entries| candidates(config, entries).len();
    let two = || vec![wrong(0.6, 0.5), wrong(0.5, 0.5)];
    assert_eq!(count(ControllerConfig { min_entries: 2, ..base() }, two()), 2);
    assert_eq!(count(ControllerConfig { min_entries: 3, ..base() }, two()), 0);
    assert_eq!(count(ControllerConfig { min_similarity: 0.55, ..base() }, two()), 2, "the nearest counts");
    assert_eq!(count(ControllerConfig { min_similarity: 0.61, ..base() }, two()), 0);
    assert_eq!(count(base(), vec![wrong(-0.1, 0.5)]), 0);
    for config in [
        ControllerConfig { variant: Variant::NoMemory, ..base() },
        ControllerConfig { max_control_points: 1, ..base() },
        ControllerConfig { min_m: Some(2), ..base() },
        ControllerConfig { max_m: Some(0), ..base() },
    ] {
        assert_eq!(count(config, two()), 0);
    }
}

#[test]
fn only_this_control_point_and_the_layers_at_hand() {
    let entries = vec![wrong(1.0, 0.5), Entry { m: 2, ..wrong(1.0, 0.5) }, Entry { layer: 3, ..wrong(0.9, 0.9) }];
    let controller = controller(base(), entries);
    assert_eq!(controller.points(), [HookPoint::ResidPost(1), HookPoint::ResidPost(3)]);
    let found = |m, states: &[(usize, [f32; 2])]| -> Vec<(usize, usize)> {
        found(controller.plan(&at(m, states))).iter().map(|c| (c.entry, c.layer)).collect()
    };
    let state = [2.0, 0.0];
    assert_eq!(found(1, &[(1, state), (3, state)]), [(2, 3), (0, 1)]);
    assert_eq!(found(1, &[(1, state)]), [(0, 1)]);
    assert_eq!(found(2, &[(1, state), (3, state)]), [(1, 1)]);
    assert_eq!(found(3, &[(1, state)]), []);
    assert_eq!(found(0, &[(1, state)]), []);
}

#[test]
fn what_is_not_finite_is_skipped_and_counted() {
    let controller = controller(base(), vec![wrong(1.0, 0.5), Entry { layer: 3, ..wrong(0.9, 0.9) }]);
    let plan = probed(controller.plan(&at(1, &[(1, [1.0, 0.0]), (3, [f32::NAN, 0.0])])));
    assert_eq!(plan.candidates().iter().map(|c| c.entry).collect::<Vec<_>>(), [0]);
    let decision = controller.decide(plan, &ProbeScores { null: 0.0, candidates: vec![0.0] }).unwrap();
    assert_eq!((decision.non_finite, decision.commit.and_then(|c| c.entry)), (1, Some(0)));
    let nowhere = controller.plan(&at(1, &[(1, [f32::INFINITY, 0.0]), (3, [f32::NAN, 0.0])]));
    assert_eq!(nowhere, Planned::Decided(Decision { non_finite: 2, ..Decision::default() }));

    let two = || vec![wrong(1.0, 0.5), wrong(0.9, 0.5)];
    let outcome = |gains: &[f64]| {
        let (won, .., count) = decided(base(), two(), gains);
        (won, count)
    };
    assert_eq!(outcome(&[f64::NAN, 0.0]), (Some(1), 1));
    assert_eq!(outcome(&[f64::INFINITY, 0.0]), (Some(1), 1));
    assert_eq!(outcome(&[f64::NAN, f64::NAN]), (None, 2));
    // A null probe without a score leaves nothing to compare with.
    let probes = ProbeScores { null: f64::NAN, candidates: vec![0.0, 0.0] };
    let (controller, planned) = planned(base(), two());
    assert_eq!(controller.decide(probed(planned), &probes).unwrap().non_finite, 2);
    // Finite in parts, not in what would be added.
    let (won, .., count) = decided(base(), vec![entry(1.0, 9.0, Some([f32::MAX, 0.0])), wrong(0.9, 0.5)], &[0.0, 0.0]);
    assert_eq!((won, count), (Some(1), 1));
    let (won, .., count) = decided(ControllerConfig { k_scale: 1e300, ..base() }, vec![wrong(1.0, 0.5)], &[0.0]);
    assert_eq!((won, count), (None, 1));
}

#[test]
fn probes_belong_to_their_plan() {
    let two = || vec![wrong(1.0, 0.5), wrong(0.9, 0.5)];
    let gains = |decision: Decision| decision.candidates.iter().map(|c| c.gain).collect::<Vec<_>>();
    let decide = |n| {
        let (controller, planned) = planned(base(), two());
        match controller.decide(probed(planned), &ProbeScores { null: 1.0, candidates: vec![3.0; n] }) {
            Ok(decision) => Ok(gains(decision)),
            Err(ControllerError::ProbeCount { expected, found }) => Err((expected, found)),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(decide(2), Ok(vec![2.0, 2.0]));
    assert_eq!(decide(1), Err((2, 1)));
    assert_eq!(decide(3), Err((2, 3)));
    assert_eq!(decide(0), Err((2, 0)));
    // Without probing everything is decided at once, and so it is with right entries alone.
    let (_, planned_) = planned(ControllerConfig { variant: Variant::NoProbing, ..base() }, two());
    let Planned::Decided(decision) = planned_ else { panic!("{planned_:?}") };
    assert_eq!(decision.commit.as_ref().and_then(|commit| commit.entry), Some(0));
    assert_eq!(gains(decision), [0.0, 0.0]);
    let (_, planned) = planned(base(), vec![right(1.0, 0.5)]);
    let Planned::Decided(decision) = planned else { panic!("{planned:?}") };
    assert!(decision.commit.is_none() && (decision.score - 1.0).abs() < 1e-6 && decision.retrieved.len() == 1);
}

#[test]
fn what_needs_no_state_is_decided_without_one() {
    let entries = || vec![entry(1.0, 0.5, Some([3.0, 4.0])), entry(0.9, 0.5, Some([1.0, 0.0])), right(1.0, 9.0)];
    let nothing = Planned::Decided(Decision::default());
    for (variant, _) in Variant::ALL {
        let controller = controller(ControllerConfig { variant, k_scale: 0.5, ..base() }, entries());
        let acts = variant != Variant::NoMemory;
        assert_eq!(controller.needs_states(1), acts && variant != Variant::StaticVector, "{variant}");
        // The first segment, and what follows the last control point, are plain whatever the variant.
        for m in [0, 8, 9] {
            assert!(!controller.needs_states(m));
            assert_eq!(controller.plan(&at(m, &HERE)), nothing, "{variant} at {m}");
        }
        match variant {
            Variant::NoMemory => assert_eq!(controller.plan(&at(1, &HERE)), nothing),
            Variant::StaticVector => {
                for states in [&HERE[..], &[(1, [f32::NAN, 0.0])], &[]] {
                    let planned = controller.plan(&at(1, states));
                    let Planned::Decided(Decision { commit: Some(commit), .. }) = planned else {
                        panic!("{planned:?}")
                    };
                    assert_eq!((commit.entry, commit.layer, commit.scale), (None, 1, 0.5));
                    assert_eq!(commit.vector[..], [2.0, 2.0]);
                }
            }
            _ => assert!(controller.plan(&at(1, &HERE)) != nothing),
        }
    }
}

#[test]
fn noise_has_the_length_of_what_it_replaces() {
    let entries = || vec![entry(1.0, 0.5, Some([3.0, 4.0])), entry(0.9, 0.5, Some([0.6, 0.8]))];
    let noise = |seed| {
        let (_, planned) = planned(ControllerConfig { variant: Variant::RandomVector, seed, ..base() }, entries());
        found(planned).iter().map(|c| c.vector.to_vec()).collect::<Vec<_>>()
    };
    let length = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let drawn = noise(1);
    assert!((length(&drawn[0]) - 5.0).abs() < 1e-5 && (length(&drawn[1]) - 1.0).abs() < 1e-6);
    let cosine = |a: &[f32], b: &[f32]| f64::from(a[0] * b[0] + a[1] * b[1]) / length(a) / length(b);
    assert!(cosine(&drawn[0], &[3.0, 4.0]).abs() < 0.999);
    assert!(cosine(&drawn[0], &drawn[1]).abs() < 0.999);
    assert_eq!(drawn, noise(1));
    assert_ne!(drawn, noise(2));
}

#[test]
fn random_choice_draws_among_the_candidates() {
    let library = Arc::new(library((0..4u8).map(|i| wrong(0.9 - 0.1 * f32::from(i), 0.5)).collect()));
    let chosen = |seed| -> Vec<usize> {
        let config = ControllerConfig { variant: Variant::RandomChoice, seed, ..base() };
        let controller = Controller::new(library.clone(), library.fingerprint(), config).unwrap();
        let choose = |sequence| {
            let probes = ProbeScores { null: 0.0, candidates: vec![0.0; 4] };
            let plan = probed(controller.plan(&ControlState { sequence, ..at(1, &HERE) }));
            let decision = controller.decide(plan, &probes).unwrap();
            decision.commit.and_then(|commit| commit.entry).unwrap()
        };
        (0..400).map(choose).collect()
    };
    let drawn = chosen(1);
    for entry in 0..4 {
        let count = drawn.iter().filter(|&&i| i == entry).count();
        assert!((70..130).contains(&count), "{entry}: {count}");
    }
    assert_eq!(drawn, chosen(1));
    assert_ne!(drawn, chosen(2));
}

#[test]
fn settings_out_of_bounds_are_named() {
    let refused = |change: &dyn Fn(&mut ControllerConfig)| {
        let mut config = base();
        change(&mut config);
        match config.validate() {
            Err(SettingError { setting, value, bound }) => (setting, value, bound),
            other => panic!("{other:?}"),
        }
    };
    let is = |field, value: &str, bound| (field, value.to_owned(), bound);
    assert_eq!(refused(&|c| c.max_control_points = 0), is("max_control_points", "0", ">= 1"));
    assert_eq!(refused(&|c| c.retrieve = 0), is("retrieve", "0", ">= 1"));
    assert_eq!(refused(&|c| c.candidates = 0), is("candidates", "0", ">= 1"));
    assert_eq!(refused(&|c| c.probe_tokens = 0), is("probe_tokens", "0", ">= 1"));
    assert_eq!(refused(&|c| c.beta = -0.5), is("beta", "-0.5", "finite and >= 0"));
    assert_eq!(refused(&|c| c.rho = f64::NAN), is("rho", "NaN", "finite and >= 0"));
    assert_eq!(refused(&|c| c.tau_null = f64::INFINITY), is("tau_null", "inf", "finite"));
    assert_eq!(refused(&|c| c.k_scale = -1.0), is("k_scale", "-1", "finite and >= 0"));
    assert_eq!(refused(&|c| c.min_similarity = 1.5), is("min_similarity", "1.5", "in [-1, 1]"));
    assert_eq!(refused(&|c| (c.min_m, c.max_m) = (Some(3), Some(2))), is("max_m", "2", "at least min_m"));
    let library = library(vec![wrong(1.0, 0.5)]);
    let error = Controller::new(library, &fingerprint(), ControllerConfig { beta: -1.0, ..base() }).unwrap_err();
    assert_eq!(error.to_string(), "a setting of the controller is out of bounds");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "beta is -1, must be finite and >= 0");
}

#[test]
fn settings_are_data() {
    let parse = |json: &str| serde_json::from_str::<ControllerConfig>(json);
    assert_eq!(parse("{}").unwrap(), base());
    let config = ControllerConfig {
        scope: Scope::Persistent,
        variant: Variant::RandomChoice,
        min_m: Some(2),
        k_scale: 0.75,
        ..base()
    };
    assert_eq!(parse(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    assert!(parse(r#"{ "k_scal": 1.0 }"#).unwrap_err().to_string().contains("k_scal"));
    assert!(parse(r#"{ "variant": "none" }"#).is_err());
    for (variant, name) in Variant::ALL {
        assert_eq!(serde_json::to_string(&variant).unwrap(), format!("\"{name}\""));
        assert_eq!((name.parse::<Variant>().unwrap(), variant.to_string()), (variant, name.to_owned()));
    }
    assert!("none".parse::<Variant>().unwrap_err().to_string().contains("random_choice"));
}

#[test]
fn libraries_that_do_not_fit() {
    let stay = library(vec![right(1.0, 0.5)]);
    let config = ControllerConfig { variant: Variant::StaticVector, ..base() };
    assert!(matches!(Controller::new(stay.clone(), stay.fingerprint(), config), Err(ControllerError::NoVector)));
    let other = Fingerprint { weights: "x".into(), ..fingerprint() };
    let error = Controller::new(stay.clone(), &other, base()).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("weights"));
    // Another quantisation is another model until it is allowed; the settings then say so, and only then.
    let mined = Fingerprint { weights: "BF16:w".into(), ..fingerprint() };
    let stay = Library::from_entries(mined, stay.entries().to_vec()).unwrap();
    let smaller = Fingerprint { weights: "Q4_K+Q6_K:x".into(), ..fingerprint() };
    let error = Controller::new(stay.clone(), &smaller, base()).unwrap_err();
    assert!(matches!(error, ControllerError::Library(BasisError::Requantised(_))));
    let allowed = ControllerConfig { allow_requantised: true, ..base() };
    assert!(Controller::new(stay.clone(), &smaller, allowed.clone()).is_ok());
    let recorded = |config: &ControllerConfig| serde_json::to_value(config).unwrap().get("allow_requantised").cloned();
    assert_eq!((recorded(&base()), recorded(&allowed)), (None, Some(true.into())));
    let other = Fingerprint { weights: "BF16:x".into(), ..fingerprint() };
    assert!(matches!(Controller::new(stay.clone(), &other, allowed), Err(ControllerError::Library(_))));
    // Who does not name a model is not asked for one.
    assert!(Controller::unchecked(stay, base()).is_ok());
}

/// JSON has no NaN; a log of steps that holds one must read back all the same.
#[test]
fn a_gain_that_is_not_finite_reads_back() {
    let broken = Scored { entry: 3, score: f64::NAN, advantage: 0.5, similarity: 0.25, gain: f64::NAN };
    let text = serde_json::to_string(&broken).unwrap();
    let back: Scored = serde_json::from_str(&text).unwrap();
    assert!(back.gain.is_nan() && back.score.is_nan() && back.advantage == 0.5);
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
}
