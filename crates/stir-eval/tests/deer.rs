//! DEER on the toy engine, against a plain computation that shares no code with it.

use crate::common::toy::{config, logits, questions, replies, request};
use stir_core::{Engine, Request, Text, TokenId, toy::ToyEngine};

/// DEER as it is defined, without caches, forks or lanes.
struct PlainDeer {
    answer: Vec<TokenId>,
    /// Tokens that were generated and are not in the answer.
    other: usize,
    exited: bool,
    /// Tokens of a trial that a stop string cut off.
    cut: usize,
    passes: usize,
}

fn deer(engine: &ToyEngine, prompt: &str, budget: usize, stop: Option<&str>, json: &str) -> PlainDeer {
    let settings: serde_json::Value = serde_json::from_str(json).unwrap();
    let text = |name: &str| settings[name].as_str().unwrap_or_default().to_owned();
    let (transition, elicit, close) = (text("transition"), engine.encode(&text("elicit")).unwrap(), text("close"));
    let number = |name: &str| settings[name].as_u64().unwrap() as usize;
    let (limit, mut trials) = (number("trial_tokens"), number("max_trials"));
    let threshold = settings["threshold"].as_f64().unwrap();
    let prompt = engine.encode_prompt(prompt).unwrap();
    let budget = budget.min(96 - prompt.len());
    let passes = std::cell::Cell::new(0);
    let next = |answer: &[TokenId]| {
        passes.set(passes.get() + 1);
        let logits = logits(engine, &[&prompt, answer].concat(), &[], &[], 0.0);
        let token = stir_core::argmax(&logits).unwrap() as TokenId;
        (token, f64::from(stir_core::log_prob(&logits, token).unwrap()).exp())
    };
    let stopped = |answer: &[TokenId]| stop.is_some_and(|stop| engine.vocab().text(answer).contains(stop));
    let (mut answer, mut other, mut written): (Vec<TokenId>, usize, Option<usize>) = (Vec::new(), 0, None);
    // Every pass is a token: it is in the answer, in addition to what was written, or among the others.
    let end = |answer: Vec<TokenId>, other, written: Option<usize>, cut| {
        assert_eq!(passes.get(), answer.len() - written.unwrap_or(0) + other);
        PlainDeer { answer, other, exited: written.is_some(), cut, passes: passes.get() }
    };
    loop {
        let before = engine.vocab().text(&answer).matches(&transition).count();
        answer.push(next(&answer).0);
        if stopped(&answer) || engine.vocab().is_eos(answer[answer.len() - 1]) || answer.len() == budget {
            return end(answer, other, written, 0);
        }
        let found = engine.vocab().text(&answer);
        if written.is_some() || trials == 0 || found.matches(&transition).count() == before {
            continue;
        }
        // Non-overlapping matches from the left: the last of them is the one that is complete now.
        let place = found.match_indices(&transition).last().unwrap().0;
        let keep = settings["keep_transition"] == true;
        let kept = (0..answer.len()).take_while(|&n| engine.vocab().text(&answer[..=n]).len() <= place).count();
        let kept = if keep { answer.len() } else { kept };
        if kept + elicit.len() + limit >= budget {
            continue;
        }
        trials -= 1;
        let mut trial = [&answer[..kept], &elicit].concat();
        let (from, mut probabilities) = (trial.len(), Vec::new());
        let mut generated = 0;
        while probabilities.len() < limit && !engine.vocab().text(&trial[from..]).contains(&close) {
            let (token, probability) = next(&trial);
            generated += 1;
            if engine.vocab().is_eos(token) {
                break;
            }
            trial.push(token);
            probabilities.push(probability);
        }
        let n = probabilities.len() as f64;
        let confidence = match settings["mean"] == "geometric" {
            true => (probabilities.iter().map(|p| p.ln()).sum::<f64>() / n).exp(),
            false => probabilities.iter().sum::<f64>() / n,
        };
        if n > 0.0 && confidence >= threshold {
            other += answer.len() - kept + generated - probabilities.len();
            let whole = trial.len();
            if let Some(at) = (kept + 1..=whole).find(|&at| stopped(&trial[..at])) {
                let cut = (whole - at).min(probabilities.len());
                trial.truncate(at);
                return end(trial, other + cut, Some(elicit.len().min(at - kept)), cut);
            }
            (answer, written) = (trial, Some(elicit.len()));
        } else {
            other += generated;
        }
    }
}

#[test]
fn early_exits_are_those_of_a_plain_computation() {
    let (mut exits, mut stays, mut refused, mut cut, mut spent) = (0, 0, 0, 0, [0, 0]);
    for seed in 0..6 {
        for engine in [ToyEngine::new(seed), ToyEngine::without_eos(seed)] {
            let questions = questions(4);
            for (transition, keep, elicit, close, limit, mean, stop) in [
                (r"\n", true, "so", "a", 3, "arithmetic", None),
                (r"\n", false, "so", r"\n", 5, "geometric", Some("o")),
                (r"\n", false, "", "b", 4, "arithmetic", None),
                ("a", true, "", "c", 2, "geometric", Some("d")),
                ("e", false, "12", "d", 6, "arithmetic", Some("a")),
            ] {
                for threshold in [0.0, 0.4, 0.7, 0.9, 1.0] {
                    for trials in [1, 10] {
                        let json = format!(
                            r#"{{"method": "deer", "transition": "{transition}", "keep_transition": {keep},
                                "elicit": "{elicit}", "close": "{close}", "trial_tokens": {limit},
                                "max_trials": {trials}, "threshold": {threshold}, "mean": "{mean}"}}"#
                        );
                        let asked = Request { stop: stop.iter().map(|&stop| stop.into()).collect(), ..request(40, 0) };
                        let found = replies(&engine, None, &config(&json), &questions, asked, 3);
                        for (question, reply) in questions.iter().zip(found) {
                            let plain = deer(&engine, &question.prompt, 40, stop, &json);
                            assert_eq!((&reply.token_ids, reply.other_tokens), (&plain.answer, plain.other), "{json}");
                            assert_eq!(reply.forward_passes, plain.passes, "{json}");
                            exits += usize::from(plain.exited);
                            refused += usize::from(!plain.exited && plain.other > 0);
                            stays += usize::from(!plain.exited && plain.other == 0);
                            cut += usize::from(plain.cut > 0);
                            spent[usize::from(trials > 1)] += plain.other;
                        }
                    }
                }
            }
        }
    }
    assert!(exits > 100 && stays > 100 && refused > 20, "{exits} exits, {stays} stays, {refused} refused");
    assert!(cut > 20, "{cut} trials cut off");
    assert!(spent[0] < spent[1], "{spent:?} tokens with one trial and with more");
}
