#![allow(clippy::unwrap_used)]

use clap::{Args, Command, FromArgMatches};
use serde::Serialize;
use stir::{
    basis::BasisConfig,
    controller::{ControllerConfig, Placement, Probe, Strength, Variant},
    core::{Request, Sampling},
    eval::method::{ConstantVector, Deer, SelfConsistency},
    induction::{Contrast, InductionConfig},
    rollout::{ForkConfig, RolloutConfig},
};

use super::*;

fn parse<A: Args>(flags: &[&str]) -> A {
    let matches = A::augment_args(Command::new("test")).try_get_matches_from([&["test"], flags].concat());
    A::from_arg_matches(&matches.unwrap()).unwrap()
}

/// Checks that every field of `config` is a flag of `A` except those in `elsewhere`.
fn named_alike<A: Args>(config: impl Serialize, elsewhere: &[&str]) {
    let command = A::augment_args(Command::new("test"));
    let flags: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
    for field in serde_json::to_value(config).unwrap().as_object().unwrap().keys() {
        let flag = field.replace('_', "-");
        assert!(elsewhere.contains(&field.as_str()) || flags.contains(&flag), "{field}: {flags:?}");
    }
}

#[test]
fn the_defaults_are_those_of_the_library() {
    assert_eq!(parse::<RolloutArgs>(&[]).config(0), RolloutConfig::default());
    assert_eq!(parse::<ForkArgs>(&[]).config(0), ForkConfig::default());
    assert_eq!(parse::<InductionArgs>(&[]).config(0), InductionConfig::default());
    assert_eq!(parse::<BasisArgs>(&[]).config(0), BasisConfig::default());
    assert_eq!(parse::<ControllerArgs>(&[]).config(Variant::Stir, 0), ControllerConfig::default());
    let constant = parse::<ConstantVectorArgs>(&[]).config(None, &parse(&[]));
    assert_eq!(constant, ConstantVector::default());
    assert_eq!(parse::<SelfConsistencyArgs>(&[]).over(SelfConsistency::default()), SelfConsistency::default());
    let own = Deer::default();
    let elicit = [own.elicit.clone(), own.close.clone()];
    assert_eq!(parse::<DeerArgs>(&[]).over(own.clone(), &elicit), own);
    for base in [Sampling::GREEDY, Sampling::default(), Request::default().sampling] {
        assert_eq!(parse::<SamplingArgs>(&[]).over(base), base);
        assert_eq!(SamplingArgs::of(base, Vec::new()).over(Sampling::default()), base);
        let command = SamplingArgs::augment_args(Command::new("test"));
        let matches = SamplingArgs::defaults(command, base).get_matches_from(["test"]);
        assert_eq!(SamplingArgs::from_arg_matches(&matches).unwrap().over(Sampling::default()), base);
    }
}

#[test]
fn a_flag_has_the_name_of_its_field() {
    named_alike::<RolloutArgs>(RolloutConfig::default(), &["seed", "sampling"]);
    named_alike::<ForkArgs>(ForkConfig::default(), &["seed", "sampling"]);
    named_alike::<SamplingArgs>(Sampling::default(), &[]);
    let induction = InductionConfig { allow_requantised: true, ..InductionConfig::sound() };
    named_alike::<InductionArgs>(induction, &[]);
    named_alike::<BasisArgs>(BasisConfig::default(), &[]);
    // What is left out where it is the default.
    let controller = ControllerConfig {
        allow_requantised: true,
        strength: Strength::Relative(0.3),
        probe: Probe::Value,
        min_gain: Some(0.0),
        placement: Placement::Segment { decay: 1.0 },
        at_prompt: true,
        ..ControllerConfig::default()
    };
    named_alike::<ControllerArgs>(controller, &["variant", "seed"]);
    let own = ConstantVector { gate_below: Some(0.0), ..ConstantVector::default() };
    let own = serde_json::to_value(own).unwrap();
    let prefixed = own.as_object().unwrap().iter().map(|(field, value)| (format!("constant_vector_{field}"), value));
    named_alike::<ConstantVectorArgs>(prefixed.collect::<std::collections::BTreeMap<_, _>>(), &[]);
    let own = serde_json::to_value(Deer::default()).unwrap();
    let prefixed = own.as_object().unwrap().iter().map(|(field, value)| (format!("deer_{field}"), value));
    named_alike::<DeerArgs>(prefixed.collect::<std::collections::BTreeMap<_, _>>(), &["deer_mean", "deer_confidence"]);
}

#[test]
fn flags_come_on_top_of_a_preset() {
    let of = |flags: &[&str]| parse::<InductionArgs>(flags).config(4);
    assert_eq!(of(&["--preset", "sound"]), InductionConfig::sound());
    let changed = InductionConfig { contrast: Contrast::Reward, shrink: false, ..InductionConfig::sound() };
    assert_eq!(of(&["--preset", "sound", "--contrast", "reward", "--shrink", "false"]), changed);
    let one = InductionConfig { center: true, ..InductionConfig::default() };
    assert_eq!(of(&["--center", "--keep", "128"]), one);
    assert_eq!(of(&["--contrast", "random_split"]).contrast, Contrast::RandomSplit { seed: 4 });
}

#[test]
fn what_is_not_published_has_a_text_form() {
    let flags = "--strength relative:0.3 --probe value --min-gain -0.1 --placement segment:0.5 --at-prompt";
    let flags: Vec<&str> = flags.split(' ').collect();
    let found = parse::<ControllerArgs>(&flags).config(Variant::Stir, 0);
    let expected = ControllerConfig {
        strength: Strength::Relative(0.3),
        probe: Probe::Value,
        min_gain: Some(-0.1),
        placement: Placement::Segment { decay: 0.5 },
        at_prompt: true,
        ..ControllerConfig::default()
    };
    assert_eq!(found, expected);
}

#[test]
fn earlier_names_are_still_understood() {
    let induction = parse::<InductionArgs>(&["--points", "3", "--width", "5"]).config(0);
    assert_eq!((induction.max_control_points, induction.max_batch), (3, 5));
    assert_eq!(parse::<BasisArgs>(&["--per-point", "2"]).config(0).min_per_control_point, 2);
    let flags = ["--points", "3", "--tau", "-0.5"];
    let steering = parse::<ControllerArgs>(&flags).config(Variant::Stir, 0);
    assert_eq!((steering.max_control_points, steering.tau_null), (3, -0.5));
    let deer = ["--deer-tokens", "3", "--deer-trials", "4"];
    let deer = parse::<DeerArgs>(&deer).over(Deer::default(), &["a".into(), "b".into()]);
    assert_eq!((deer.trial_tokens, deer.max_trials, deer.elicit.as_str()), (3, 4, "a"));
}
