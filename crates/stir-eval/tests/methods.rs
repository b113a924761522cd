//! Every method on the toy engine, against plain computations that share no code with it.

use crate::common::toy::{FirstMark, config, first_mark, library, logits, questions, replies, request};
use stir_core::{
    Addition, Engine, Finish, GenerateOptions, HookPoint, Request, Row, Sampling, Text, generate, toy::ToyEngine,
};
use stir_eval::{
    answers::{AnswersError, open},
    method::{AnswerError, AnswerRun, MethodConfig, MethodContext, Question, Reply},
};
use stir_files::FileError;
use stir_grade::{GRADING, Judge};

const ALL: [&str; 14] = [
    r#"{"method": "plain"}"#,
    r#"{"method": "sampling", "sampling": {"temperature": 1.0, "top_p": 0.9}}"#,
    r#"{"method": "self_consistency", "samples": 4}"#,
    r#"{"method": "self_discover", "stage_tokens": 9}"#,
    r#"{"method": "deer", "transition": "\n", "keep_transition": true, "elicit": "so", "close": "a", "trial_tokens": 3, "threshold": 0.5}"#,
    r#"{"method": "deer", "transition": "\n", "elicit": "", "close": "\n", "trial_tokens": 4, "threshold": 0.4, "mean": "geometric"}"#,
    r#"{"method": "constant_vector", "scale": 0.5}"#,
    r#"{"method": "constant_vector", "scale": 0.2, "at": "token"}"#,
    r#"{"method": "constant_vector", "scale": 0.5, "gate_below": 0.1}"#,
    r#"{"method": "stir"}"#,
    r#"{"method": "stir", "variant": "no_probing", "scope": "persistent"}"#,
    r#"{"method": "stir", "strength": {"relative": 0.3}, "placement": {"segment": {"decay": 0.9}}, "at_prompt": true, "min_gain": -0.5}"#,
    r#"{"method": "stir", "variant": "random_choice"}"#,
    r#"{"method": "stir", "variant": "static_vector"}"#,
];

/// All that a reply must keep whatever the method.
fn check(engine: &ToyEngine, reply: &Reply, budget: usize) {
    assert_eq!(reply.tokens, reply.token_ids.len());
    assert!(reply.tokens <= budget);
    assert!(engine.vocab().text(&reply.token_ids).starts_with(&reply.text));
    assert_eq!(reply.steps.len(), reply.segment_ends.len());
    assert!(reply.segment_ends.is_sorted() && reply.segment_ends.iter().all(|&end| end <= reply.text.len()));
    if !reply.steps.is_empty() {
        assert_eq!(reply.steps.iter().map(|step| step.tokens).sum::<usize>(), reply.tokens);
        assert_eq!(reply.segment_ends.last(), Some(&reply.text.len()));
    }
}

#[test]
fn batches_equal_singles_and_runs_repeat() {
    for seed in [1, 4] {
        let engine = ToyEngine::new(seed);
        let (library, questions) = (library(&engine), questions(7));
        for json in ALL {
            let config = config(json);
            let run = |questions: &[Question], batch_size| {
                replies(&engine, Some(&library), &config, questions, request(40, 5), batch_size)
            };
            let together = run(&questions, 5);
            together.iter().for_each(|reply| check(&engine, reply, 40));
            let alone: Vec<Reply> =
                questions.iter().flat_map(|question| run(std::slice::from_ref(question), 1)).collect();
            assert_eq!(together, alone, "{json}");
            assert_eq!(together, run(&questions, 1), "{json}");
        }
    }
}

#[test]
fn budgets_hold_and_stop_strings_end_answers() {
    let engine = ToyEngine::without_eos(2);
    let (library, questions) = (library(&engine), questions(5));
    for json in ALL {
        for budget in [1, 2, 7, 500] {
            for reply in replies(&engine, Some(&library), &config(json), &questions, request(budget, 0), 3) {
                check(&engine, &reply, budget);
                assert_eq!(reply.finish, Finish::Length, "{json}");
                // Without an end token only the context ends what the budget does not.
                assert!(reply.tokens == budget || budget == 500, "{json}: {} of {budget}", reply.tokens);
            }
        }
        let stops = Request { stop: vec!["\n".into()], ..request(60, 0) };
        for reply in replies(&engine, Some(&library), &config(json), &questions, stops, 3) {
            assert!(!reply.text.contains('\n'), "{json}");
        }
    }
}

#[test]
fn seeds_decide_what_is_drawn() {
    let engine = ToyEngine::new(3);
    let questions = questions(6);
    let texts = |json: &str, seed| -> Vec<String> {
        let replies = replies(&engine, None, &config(json), &questions, request(30, seed), 4);
        replies.into_iter().map(|reply| reply.text).collect()
    };
    for json in &ALL[1..3] {
        assert_eq!(texts(json, 1), texts(json, 1));
        assert_ne!(texts(json, 1), texts(json, 2));
    }
    assert_eq!(texts(ALL[0], 1), texts(ALL[0], 2));
    // Two questions of one prompt are drawn apart, by their ids.
    let twins = ["x", "y"].map(|id| Question { id: id.into(), ..questions[0].clone() });
    let drawn = replies(&engine, None, &config(ALL[1]), &twins, request(30, 0), 2);
    assert_ne!(drawn[0].text, drawn[1].text);
}

#[test]
fn plain_and_unsteered_are_the_same() {
    let engine = ToyEngine::new(5);
    let (library, questions) = (library(&engine), questions(6));
    let run = |json: &str| replies(&engine, Some(&library), &config(json), &questions, request(50, 0), 4);
    let plain = run(r#"{"method": "plain"}"#);
    for json in [
        r#"{"method": "stir", "variant": "no_memory"}"#,
        r#"{"method": "constant_vector", "scale": 0}"#,
        r#"{"method": "constant_vector", "scale": 0, "at": "token"}"#,
        r#"{"method": "deer", "transition": "zzzz"}"#.replace("zzzz", "0z0z0z").as_str(),
    ] {
        // The words that DEER asks with are not in the toy vocabulary; no question gets so far.
        let json = json.replace(r#""transition""#, r#""elicit": "so", "transition""#);
        for (plain, other) in plain.iter().zip(run(&json)) {
            assert_eq!((&plain.token_ids, plain.finish), (&other.token_ids, other.finish), "{json}");
            assert_eq!((other.other_tokens, other.probe_tokens), (0, 0), "{json}");
        }
    }
    let steered = run(ALL[6]);
    assert!(plain.iter().zip(&steered).any(|(plain, steered)| plain.token_ids != steered.token_ids));
}

#[test]
fn answers_of_other_end_tokens_devices_and_gradings_are_refused() {
    let (engine, endless) = (ToyEngine::new(5), ToyEngine::without_eos(5));
    let questions = questions(2);
    let settings = |engine: &ToyEngine, device: &str| {
        let engine = &engine.clone().on_device(device);
        let run = AnswerRun { engine, questions: &questions, request: request(9, 0), max_batch: 2 };
        run.settings(&MethodConfig::Plain {}, None).unwrap()
    };
    let mut regraded = settings(&engine, "cpu");
    regraded["grading"] = (GRADING + 1).into();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("o.jsonl");
    for finish in [false, true] {
        let id = |answer: &serde_json::Value| answer["id"].as_str().unwrap().to_owned();
        let begin = |settings: &serde_json::Value| open(&out, settings, &["p0", "p1"], id);
        let mut answers = begin(&settings(&engine, "cpu")).unwrap();
        if answers.is_empty() {
            answers.push(&serde_json::json!({"id": "p0"})).unwrap();
        }
        match finish {
            true => drop(answers.finish().unwrap()),
            false => drop(answers),
        }
        for (other, name) in [
            (settings(&endless, "cpu"), "model.end_tokens"),
            (settings(&engine, "cuda"), "model.device"),
            (regraded.clone(), "grading"),
        ] {
            match begin(&other) {
                Err(AnswersError::File(FileError::Settings { field, .. })) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(begin(&settings(&engine, "cpu")).unwrap().len(), 1);
        // Settings of earlier versions do not name the quantisation.
        assert_eq!(begin(&settings(&engine.clone().stored_as("BF16"), "cpu")).unwrap().len(), 1);
    }
}

#[test]
fn another_quantisation_is_accepted_on_request_and_the_settings_say_so() {
    let library = library(&ToyEngine::new(5).stored_as("BF16"));
    let engine = ToyEngine::new(6).stored_as("Q4_K+Q6_K");
    let questions = questions(2);
    let run = AnswerRun { engine: &engine, questions: &questions, request: request(9, 0), max_batch: 2 };
    for json in &ALL[6..] {
        let strict = config(json);
        let context = || MethodContext {
            engine: &engine,
            judges: &first_mark,
            library: Some(&library),
            render: &|_, user| Ok(user.into()),
        };
        let mut error: &dyn std::error::Error = &strict.build(context()).err().unwrap();
        while let Some(source) = error.source() {
            error = source;
        }
        let error = error.to_string();
        assert!(["BF16", "Q4_K+Q6_K", "allow_requantised"].iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(run.settings(&strict, None).unwrap()["method"].get("allow_requantised"), None);

        let allowed = config(&json.replacen('{', r#"{"allow_requantised": true, "#, 1));
        assert!(allowed.build(context()).is_ok());
        assert_eq!(run.settings(&allowed, None).unwrap()["method"]["allow_requantised"], true);
    }
}

#[test]
fn votes_are_counted_over_the_samples_of_one_request() {
    let engine = ToyEngine::new(7);
    let questions = questions(8);
    let mut groups = 0;
    for (question, reply) in
        questions.iter().zip(replies(&engine, None, &config(ALL[2]), &questions, request(25, 9), 3))
    {
        let hash = blake3::hash(question.id.as_bytes());
        let stream = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
        let prompt = engine.encode_prompt(&question.prompt).unwrap();
        let asked = Request { prompt, stream, samples: 4, sampling: Sampling::default(), ..request(25, 9) };
        let samples = generate(&engine, &[asked], GenerateOptions::default()).unwrap().remove(0);
        let answers: Vec<Option<String>> =
            samples.iter().map(|sample| FirstMark.extract(&sample.text(engine.vocab()))).collect();
        let votes =
            |answer: &Option<String>| answers.iter().filter(|other| other.is_some() && *other == answer).count();
        let most = answers.iter().map(votes).max().unwrap();
        let chosen = if most == 0 { 0 } else { answers.iter().position(|answer| votes(answer) == most).unwrap() };
        assert_eq!(reply.token_ids, samples[chosen].tokens);
        let all: usize = samples.iter().map(|sample| sample.tokens.len()).sum();
        assert_eq!(reply.tokens + reply.other_tokens, all);
        // The prompt takes one pass, and every token of the longest sample one.
        let longest = samples.iter().map(|sample| sample.tokens.len()).max().unwrap();
        assert_eq!(reply.forward_passes, longest + usize::from(question.prompt.len() > 1));
        groups += usize::from(most < 4);
    }
    assert!(groups > 0, "the samples must disagree somewhere");
}

#[test]
fn plans_are_made_in_stages_and_all_of_them_count() {
    let engine = ToyEngine::new(8);
    let questions = questions(5);
    for (question, reply) in
        questions.iter().zip(replies(&engine, None, &config(ALL[3]), &questions, request(12, 0), 2))
    {
        let prompt = reply.prompt.unwrap();
        // The solution is asked for with the question at the end, and is what plain decoding makes of that prompt.
        assert!(prompt.ends_with(&question.prompt));
        let again = [Question { prompt, ..question.clone() }];
        let plain = replies(&engine, None, &MethodConfig::Plain {}, &again, request(12, 0), 1).remove(0);
        assert_eq!((reply.token_ids, reply.finish), (plain.token_ids, plain.finish));
        assert!((3..=27).contains(&reply.other_tokens));
        assert_eq!(reply.forward_passes, reply.tokens + reply.other_tokens);
    }
}

#[test]
fn a_plan_that_leaves_no_room_is_an_empty_answer() {
    let engine = ToyEngine::new(8);
    let long = |_: Option<&str>, user: &str| Ok("a".repeat(user.len()));
    let context = MethodContext { engine: &engine, judges: &first_mark, library: None, render: &long };
    let method = config(ALL[3]).build(context).unwrap();
    let questions = questions(2);
    let run = AnswerRun { engine: &engine, questions: &questions, request: request(9, 0), max_batch: 2 };
    let mut replies = Vec::new();
    run.replies(
        &*method,
        |_| false,
        |_, reply| {
            replies.push(reply);
            std::ops::ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(replies.len(), 2);
    for reply in replies {
        assert_eq!((reply.text.as_str(), reply.tokens, reply.other_tokens), ("", 0, 0));
        assert_eq!(reply.finish, Finish::Length);
        assert!(!reply.judged(&questions[0], &FirstMark).judged.correct());
    }
}

#[test]
fn a_prompt_that_leaves_no_room_gets_an_empty_answer_from_every_method() {
    let engine = ToyEngine::new(8);
    let (library, good) = (library(&engine), questions(4));
    let mut with_long = good.clone();
    with_long.insert(1, Question { id: "long".into(), prompt: "a".repeat(96), ..good[0].clone() });
    for json in ALL {
        let run =
            |questions: &[Question]| replies(&engine, Some(&library), &config(json), questions, request(20, 3), 2);
        let mut found = run(&with_long);
        let empty = found.remove(1);
        assert_eq!(empty, Reply::no_room(), "{json}");
        // The others do not notice.
        assert_eq!(found, run(&good), "{json}");
        let record = empty.judged(&with_long[1], &FirstMark);
        assert_eq!((record.id.as_str(), record.spent(), record.finish), ("long", 0, Finish::Length));
        assert!(record.judged.answer.is_none() && !record.judged.correct());
    }
    // One token less, and there is room for one.
    with_long[1].prompt.pop();
    assert_eq!(replies(&engine, None, &config(ALL[0]), &with_long, request(20, 3), 2)[1].tokens, 1);
}

#[test]
fn static_vectors_stay_where_they_were_added() {
    for seed in 0..4 {
        let engine = ToyEngine::new(seed);
        let library = library(&engine);
        let vectors: Vec<_> =
            library.layers().into_iter().map(|l| (HookPoint::ResidPost(l), library.mean_delta(l).unwrap())).collect();
        assert_eq!(vectors.len(), 2);
        let questions = questions(4);
        for (at, scale) in [("boundary", 1.0f32), ("token", 0.3)] {
            let json = format!(r#"{{"method": "constant_vector", "scale": {scale}, "at": "{at}"}}"#);
            for (question, reply) in
                questions.iter().zip(replies(&engine, Some(&library), &config(&json), &questions, request(40, 0), 2))
            {
                let mut tokens = engine.encode_prompt(&question.prompt).unwrap();
                let (start, mut places) = (tokens.len(), Vec::new());
                let mut newlines = 0;
                for &found in &reply.token_ids {
                    let logits = logits(&engine, &tokens, &vectors, &places, scale);
                    assert_eq!(found as usize, stir_core::argmax(&logits).unwrap(), "{json}");
                    tokens.push(found);
                    let text = engine.vocab().text(&tokens[start..]);
                    if at == "token" || text.matches('\n').count() > newlines {
                        places.push(tokens.len() - 1);
                    }
                    newlines = text.matches('\n').count();
                }
                let steered = reply.steps.iter().filter(|step| step.scale != 0.0).count();
                assert_eq!(steered > 0, at == "token" || reply.steps.len() > 1);
            }
        }
    }
}

#[test]
fn a_gate_adds_a_vector_where_the_stream_points_away_from_it() {
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let (mut open, mut closed) = (0, 0);
    for seed in 0..4 {
        let engine = ToyEngine::new(seed);
        let library = library(&engine);
        let vectors: Vec<_> =
            library.layers().into_iter().map(|l| (HookPoint::ResidPost(l), library.mean_delta(l).unwrap())).collect();
        let points: Vec<HookPoint> = vectors.iter().map(|(point, _)| *point).collect();
        // The last token's streams and logits, with vectors added at (position, index of the vector).
        let run = |tokens: &[u32], added: &[(usize, usize)], scale| {
            let addition = |&(position, index): &(usize, usize)| {
                let (point, vector) = &vectors[index];
                Addition { point: *point, position, vector, scale }
            };
            let additions = added.iter().map(addition).collect();
            let row = Row { session: &mut engine.session(), tokens, additions, capture: &points, logits: true };
            engine.forward(&mut [row]).unwrap().remove(0)
        };
        let questions = questions(4);
        for (at, scale, gate) in [("boundary", 1.0f32, 0.2), ("token", 0.3, 0.0)] {
            let json =
                format!(r#"{{"method": "constant_vector", "scale": {scale}, "at": "{at}", "gate_below": {gate}}}"#);
            for (question, reply) in
                questions.iter().zip(replies(&engine, Some(&library), &config(&json), &questions, request(40, 0), 2))
            {
                let mut tokens = engine.encode_prompt(&question.prompt).unwrap();
                let (start, mut added, mut newlines) = (tokens.len(), Vec::new(), 0);
                for &found in &reply.token_ids {
                    let logits = run(&tokens, &added, scale).logits;
                    assert_eq!(found as usize, stir_core::argmax(&logits).unwrap(), "{json}");
                    tokens.push(found);
                    let seen = engine.vocab().text(&tokens[start..]).matches('\n').count();
                    if at == "token" || seen > newlines {
                        let streams = run(&tokens, &added, scale).captures;
                        for (index, stream) in streams.iter().enumerate() {
                            let opens = cosine(&vectors[index].1, stream) < gate;
                            open += usize::from(opens);
                            closed += usize::from(!opens);
                            added.extend(opens.then_some((tokens.len() - 1, index)));
                        }
                    }
                    newlines = seen;
                }
            }
        }
    }
    assert!(open > 20 && closed > 20, "{open} {closed}");
}

#[test]
fn what_cannot_be_asked_is_named_before_anything_is_generated() {
    let engine = ToyEngine::new(1);
    let context =
        MethodContext { engine: &engine, judges: &first_mark, library: None, render: &|_, user| Ok(user.into()) };
    let method = MethodConfig::Plain {}.build(context).unwrap();
    let run = |questions: &[Question], request: Request| {
        let run = AnswerRun { engine: &engine, questions, request, max_batch: 2 };
        run.replies(&*method, |_| false, |_, _| panic!("nothing may be generated"))
    };
    let with = |prompt: &str| {
        let mut questions = questions(3);
        questions[1].prompt = prompt.into();
        questions
    };
    for prompt in ["", "a b"] {
        let error = run(&with(prompt), request(5, 0)).unwrap_err();
        assert!(error.to_string().contains("p1"), "{error}");
    }
    // Where no question leaves room for an answer, the model is the wrong one.
    let error = run(&with(&"a".repeat(96))[1..2], request(5, 0)).unwrap_err();
    assert!(matches!(&error, AnswerError::Request { id, .. } if id == "p1"), "{error}");
    assert!(matches!(run(&questions(2), request(0, 0)), Err(AnswerError::Settings(_))));
    assert!(run(&[], request(5, 0)).is_ok());

    // Words of a method that the tokenizer does not know, and prompts that cannot be rendered.
    for json in [r#"{"method": "deer"}"#, r#"{"method": "self_discover"}"#] {
        let method = config(json).build(context).unwrap();
        let questions = questions(3);
        let run = AnswerRun { engine: &engine, questions: &questions, request: request(5, 0), max_batch: 2 };
        let error = run.replies(&*method, |_| false, |_, _| panic!("no answer")).unwrap_err();
        assert!(matches!(&error, AnswerError::Prompt { id, .. } if id == "p0"), "{error}");
    }
}

#[test]
fn settings_are_refused_by_field() {
    let engine = ToyEngine::new(1);
    let (library, foreign) = (library(&engine), library(&ToyEngine::new(2)));
    let build = |json: &str, library| {
        let context =
            MethodContext { engine: &engine, judges: &first_mark, library, render: &|_, user| Ok(user.into()) };
        let mut error: &dyn std::error::Error = &config(json).build(context).err().unwrap();
        let mut text = error.to_string();
        while let Some(source) = error.source() {
            text += &format!(": {source}");
            error = source;
        }
        text
    };
    for (json, words) in [
        (r#"{"method": "sampling", "sampling": {"temperature": -1, "top_p": 1}}"#, ["sampling", "temperature is -1"]),
        (r#"{"method": "self_consistency", "samples": 0}"#, ["self_consistency", "samples is 0"]),
        (
            r#"{"method": "self_consistency", "sampling": {"temperature": 1, "top_p": 0}}"#,
            ["self_consistency", "top_p is 0"],
        ),
        (r#"{"method": "self_discover", "stage_tokens": 0}"#, ["self_discover", "stage_tokens is 0"]),
        (r#"{"method": "self_discover", "modules": []}"#, ["self_discover", "modules is 0"]),
        (r#"{"method": "deer", "threshold": 1.5}"#, ["deer", "threshold is 1.5"]),
        (r#"{"method": "deer", "transition": ""}"#, ["deer", "transition"]),
        (r#"{"method": "deer", "close": ""}"#, ["deer", "close"]),
        (r#"{"method": "deer", "trial_tokens": 0}"#, ["deer", "trial_tokens is 0"]),
        (r#"{"method": "deer", "max_trials": 0}"#, ["deer", "max_trials is 0"]),
        (r#"{"method": "constant_vector", "scale": -1}"#, ["constant_vector", "scale is -1"]),
        (r#"{"method": "constant_vector", "scale": 1e39}"#, ["constant_vector", "not finite"]),
        (r#"{"method": "stir", "probe_tokens": 0}"#, ["stir", "probe_tokens is 0"]),
    ] {
        let error = build(json, Some(&library));
        assert!(words.iter().all(|word| error.contains(word)), "{json}: {error}");
    }
    for json in &ALL[6..] {
        assert!(build(json, None).contains("needs a library"));
        assert!(build(json, Some(&foreign)).contains("another model"));
    }
    for typo in [
        r#"{"method": "plain", "samples": 2}"#,
        r#"{"method": "sampling", "temperature": 1}"#,
        r#"{"method": "deer", "treshold": 1}"#,
        r#"{"method": "stir", "kscale": 1}"#,
        r#"{"method": "guess"}"#,
        r#"{"k_scale": 1}"#,
    ] {
        assert!(serde_json::from_str::<MethodConfig>(typo).is_err(), "{typo}");
    }
}

#[test]
fn every_name_is_that_of_one_method() {
    let names: Vec<&str> = MethodConfig::names().collect();
    assert_eq!(names.len(), 6 + 6);
    for (place, name) in names.iter().enumerate() {
        let method = MethodConfig::named(name).unwrap();
        assert_eq!(method.name(), *name);
        assert!(!names[..place].contains(name));
        // What is written is read back.
        let json = serde_json::to_string(&method).unwrap();
        assert_eq!(serde_json::from_str::<MethodConfig>(&json).unwrap(), method);
    }
    for json in ALL {
        let method = config(json);
        assert!(names.contains(&method.name()));
    }
    let error = serde_json::from_str::<MethodConfig>(r#"{"method": "static_vector"}"#).unwrap_err().to_string();
    assert!(error.contains("\"constant_vector\"") && error.contains("variant = \"static_vector\""), "{error}");
}
