//! Requests, streams and cancellation on the toy engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    cell::Cell,
    collections::BTreeMap,
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
};

use proptest::prelude::*;
use stir_core::{
    Decode, DriveError, EmptyStop, Engine, Event, Fingerprint, Finish, Flow, Generated, Lane, ModelShape, Output,
    Request, RequestError, Row, SampleId, Sampling, Session, TokenId, Vocab, drive, generate, generate_all, prefill,
    stream,
    toy::{ToyEngine, ToyError, ToySession},
};

const WARM: Sampling = Sampling { temperature: 1.0, top_p: 0.9, ..Sampling::GREEDY };

fn ask(engine: &ToyEngine, text: &str) -> Request {
    Request { max_tokens: 24, sampling: WARM, ..Request::new(engine.encode(text).unwrap()) }
}

/// What a listener has heard of one answer.
#[derive(Debug, Default)]
struct Heard {
    tokens: Vec<TokenId>,
    log_probs: Vec<f32>,
    text: String,
    answer: Option<Generated>,
    failed: bool,
}

/// Runs a stream that `flow` steers; every answer is checked against what was heard of it.
fn hear<E: Engine>(
    engine: &E,
    requests: &[Request],
    width: usize,
    cancel: &AtomicBool,
    mut flow: impl FnMut(SampleId, &Event) -> Flow,
) -> BTreeMap<SampleId, Heard> {
    let mut all: BTreeMap<SampleId, Heard> = BTreeMap::new();
    stream(engine, requests, width, cancel, |id, event| {
        let flow = flow(id, &event);
        let heard = all.entry(id).or_default();
        assert!(heard.answer.is_none(), "nothing comes after the last event");
        match event {
            Event::Token(token) => {
                assert_eq!(token.index, heard.tokens.len());
                heard.tokens.push(token.id);
                heard.log_probs.push(token.log_prob);
                heard.text += &token.text;
            }
            Event::Finished { text, answer } => {
                heard.text += &text;
                heard.answer = Some(answer);
            }
            Event::Failed { text, answer, .. } => {
                heard.text += &text;
                heard.answer = Some(answer);
                heard.failed = true;
            }
        }
        flow
    })
    .unwrap();
    let expected = requests.iter().enumerate().flat_map(|(i, r)| (0..r.samples).map(move |k| (i, k)));
    assert!(all.keys().map(|id| (id.request, id.sample)).eq(expected), "every sample has a last event");
    for heard in all.values() {
        let answer = heard.answer.as_ref().unwrap();
        assert_eq!((&heard.tokens, &heard.log_probs), (&answer.tokens, &answer.log_probs));
        assert_eq!(heard.text, answer.text(engine.vocab()));
    }
    all
}

#[test]
fn a_stream_tells_what_generate_returns() {
    let engine = ToyEngine::new(1);
    let requests = [
        Request { samples: 3, stop: vec!["\n\n".into(), "ab".into()], ..ask(&engine, "abc") },
        Request { max_tokens: 60, ..ask(&engine, "d") },
        Request { sampling: Sampling::GREEDY, samples: 2, seed: 4, ..ask(&engine, "hello") },
        Request { sampling: Sampling { top_k: 3, repetition_penalty: 1.3, ..WARM }, samples: 4, ..ask(&engine, "zz") },
    ];
    for width in [0, 1, 3, 16] {
        let answers = generate_all(&engine, &requests, width).unwrap();
        assert_eq!(answers, generate_all(&engine, &requests, 5).unwrap());
        let heard = hear(&engine, &requests, width, &AtomicBool::new(false), |_, _| Flow::Continue);
        for (id, heard) in heard {
            assert_eq!(heard.answer.unwrap(), answers[id.request][id.sample]);
        }
    }
    let greedy = &generate_all(&engine, &requests, 5).unwrap()[2];
    assert_eq!(greedy[0], greedy[1]);
}

#[test]
fn a_sample_depends_on_its_seed_and_stream_alone() {
    let engine = ToyEngine::new(1);
    let many = Request { samples: 5, seed: 9, stream: 40, ..ask(&engine, "hello") };
    let together = generate_all(&engine, &[ask(&engine, "abc"), many.clone(), ask(&engine, "q")], 3).unwrap();
    for (k, answer) in together[1].iter().enumerate() {
        let alone = Request { samples: 1, stream: 40 + k as u64, ..many.clone() };
        assert_eq!(*answer, generate_all(&engine, &[alone], 1).unwrap()[0][0]);
    }
    assert!(together[1].windows(2).any(|pair| pair[0] != pair[1]));
    let last = Request { stream: u64::MAX, samples: 2, ..many };
    assert_eq!(last.sample_stream(1), 0);
    assert!(generate_all(&engine, &[last], 2).is_ok());
}

#[test]
fn batches_equal_singles_and_keep_order() {
    let engine = ToyEngine::new(11);
    let prompts: Vec<_> = ["abc", "d", "hello", "ab", "zzzz"].iter().map(|p| engine.encode(p).unwrap()).collect();
    let wide = generate(&engine, &prompts, 24, WARM, 5, 3).unwrap();
    assert_eq!(wide, generate(&engine, &prompts, 24, WARM, 5, 1).unwrap());
    assert_eq!(wide.len(), prompts.len());
    assert!(wide.iter().all(|g| g.tokens.len() == g.log_probs.len() && g.forward_passes == g.tokens.len()));
    assert_eq!(generate(&engine, &[], 24, WARM, 5, 1).unwrap(), []);
}

#[test]
fn a_forked_prefix_samples_what_a_fresh_one_does() {
    let engine = ToyEngine::new(11);
    let request = ask(&engine, "hello");
    let run = |session| {
        let mut out = None;
        let lane = Decode::resume(&engine, session, &request, 2).unwrap();
        drive(&engine, [Ok(lane)], 1, |_, g| {
            out = Some(g);
            ControlFlow::Continue(())
        })
        .unwrap();
        out.unwrap()
    };
    let prefix = prefill(&engine, &request.prompt).unwrap();
    assert_eq!(prefix.len(), 4);
    let fresh = run(engine.session());
    assert_eq!(fresh, run(prefix.fork()));
    assert_eq!(fresh, run(prefix));
    assert_eq!(prefill(&engine, &[]).unwrap().len(), 0);
}

#[test]
fn bad_requests_name_what_is_wrong() {
    let engine = ToyEngine::new(0);
    let good = ask(&engine, "abc");
    let max_context = engine.shape().max_context;
    let listen = |_, _: Event| panic!("nothing is generated");
    for (bad, expected) in [
        (Request { prompt: vec![], ..good.clone() }, RequestError::EmptyPrompt),
        (Request { max_tokens: 0, ..good.clone() }, RequestError::ZeroBudget),
        (Request { samples: 0, ..good.clone() }, RequestError::ZeroSamples),
        (Request { stop: vec!["x".into(), String::new()], ..good.clone() }, RequestError::Stop(EmptyStop { index: 1 })),
        (
            Request { prompt: vec![1; max_context], ..good.clone() },
            RequestError::PromptTooLong { tokens: max_context, max_context },
        ),
        (
            Request { prompt: vec![1, u32::MAX], ..good.clone() },
            RequestError::Token { token: u32::MAX, vocab_size: engine.shape().vocab_size },
        ),
    ] {
        assert_eq!(Decode::new(&engine, &bad, 0).unwrap_err(), expected);
        let found = stream(&engine, &[good.clone(), bad], 2, &AtomicBool::new(false), listen);
        assert!(matches!(found, Err(DriveError::Refused { request: 1, source }) if source == expected));
    }
    let bad = Request { sampling: Sampling { min_p: 2.0, ..WARM }, ..good };
    assert_eq!(Decode::new(&engine, &bad, 0).unwrap_err().to_string(), "sampling min_p is 2, must be in [0, 1]");
    stream(&engine, &[], 2, &AtomicBool::new(false), listen).unwrap();
    assert!(generate_all(&engine, &[], 2).unwrap().is_empty());
}

#[test]
fn the_context_ends_a_sequence_and_break_ends_the_loop() {
    let engine = ToyEngine::without_eos(3);
    let prompts = vec![vec![1; engine.shape().max_context - 4]; 3];
    let answers = generate(&engine, &prompts, 100, Sampling::GREEDY, 0, 2).unwrap();
    assert!(answers.iter().all(|g| g.tokens.len() == 4 && g.finish == Finish::Length));

    let mut seen = 0;
    let requests = Request::batch(&prompts, 2, Sampling::GREEDY, 0);
    let lanes = requests.iter().map(|request| Ok(Decode::new(&engine, request, 0)?));
    drive(&engine, lanes, 1, |_, _| {
        seen += 1;
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(seen, 1);
}

proptest! {
    /// With stop strings an answer is a start of what it is without: it ends with the first token after which the text
    /// holds one.
    #[test]
    fn stop_strings_cut_what_would_have_been(
        seed in 0u64..50,
        stop in prop::collection::vec("[a-e\n. ]{1,3}", 0..4),
    ) {
        let engine = ToyEngine::new(seed);
        let free = Request { max_tokens: 40, seed, ..ask(&engine, "abc") };
        let stopped = Request { stop: stop.clone(), ..free.clone() };
        let answers = generate_all(&engine, &[free, stopped], 2).unwrap();
        let (free, stopped, vocab) = (&answers[0][0], &answers[1][0], engine.vocab());
        let first = (1..=free.tokens.len()).find(|&n| {
            let text = vocab.text(&free.tokens[..n]);
            stop.iter().any(|stop| text.contains(stop))
        });
        match first {
            None => prop_assert_eq!(stopped, free),
            Some(n) => {
                prop_assert_eq!(&stopped.tokens, &free.tokens[..n]);
                prop_assert_eq!(&stopped.log_probs, &free.log_probs[..n]);
                prop_assert_eq!(stopped.finish, Finish::Stop);
                let text = stopped.text(vocab);
                prop_assert!(stop.iter().any(|s| vocab.text(&stopped.tokens).starts_with(&[&text, s.as_str()].concat())));
                prop_assert!(!stop.iter().any(|s| text.contains(s)));
            }
        }
    }
}

/// A model that says what it is told, token after token, and then NaN; it counts its passes.
struct Parrot {
    toy: ToyEngine,
    vocab: Vocab,
    says: Vec<TokenId>,
    /// Length of the prompts.
    after: usize,
    passes: Cell<usize>,
}

impl Parrot {
    fn new(tokens: &[&str], eos: TokenId, says: &[TokenId]) -> Self {
        let vocab = Vocab::new(tokens.iter().map(|token| token.as_bytes()), [eos]);
        Self { toy: ToyEngine::new(0), vocab, says: says.to_vec(), after: 1, passes: Cell::new(0) }
    }

    fn request(&self, stop: &[&str]) -> Request {
        let stop = stop.iter().map(|stop| (*stop).to_owned()).collect();
        Request { sampling: Sampling::GREEDY, stop, max_tokens: 50, ..Request::new(vec![0; self.after]) }
    }
}

impl Engine for Parrot {
    type Session = ToySession;
    type Error = ToyError;

    fn shape(&self) -> ModelShape {
        self.toy.shape()
    }
    fn fingerprint(&self) -> &Fingerprint {
        self.toy.fingerprint()
    }
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }
    fn encode(&self, text: &str) -> Result<Vec<TokenId>, ToyError> {
        self.toy.encode(text)
    }
    fn session(&self) -> ToySession {
        self.toy.session()
    }
    fn forward(&self, rows: &mut [Row<'_, ToySession>]) -> Result<Vec<Output>, ToyError> {
        assert!(!rows.is_empty(), "no pass without rows");
        self.passes.set(self.passes.get() + 1);
        let mut outputs = self.toy.forward(rows)?;
        for (row, output) in rows.iter().zip(&mut outputs).filter(|(row, _)| row.logits) {
            match self.says.get(row.session.len() - self.after) {
                Some(&next) => (0..).zip(&mut output.logits).for_each(|(id, x)| *x = f32::from(u8::from(id == next))),
                None => output.logits[0] = f32::NAN,
            }
        }
        Ok(outputs)
    }
}

#[test]
fn stops_and_ends_side_by_side() {
    // 0: a, 1: an end with bytes, 2: half a stop string, 3: the rest and more.
    let tokens = ["a", "z", "##", "#### b"];
    let end = |says: &[TokenId], stop: &[&str], max_tokens| {
        let engine = Parrot::new(&tokens, 1, says);
        let request = Request { max_tokens, ..engine.request(stop) };
        let heard = hear(&engine, &[request], 1, &AtomicBool::new(false), |_, _| Flow::Continue);
        let answer = heard.into_values().next().unwrap().answer.unwrap();
        (answer.finish, answer.tokens.len(), answer.text(&engine.vocab))
    };
    assert_eq!(end(&[0, 2, 0, 1], &[], 9), (Finish::Eos, 4, "a##az".into()));
    // Complete with the token before the end token, and with the end token itself.
    assert_eq!(end(&[0, 2, 0, 1], &["#a"], 9), (Finish::Stop, 3, "a#".into()));
    assert_eq!(end(&[0, 2, 0, 1], &["az"], 9), (Finish::Stop, 4, "a##".into()));
    // Half a stop string at the end is text.
    assert_eq!(end(&[0, 2, 1], &["##z!", "###"], 9), (Finish::Eos, 3, "a##z".into()));
    assert_eq!(end(&[0, 2, 0], &["###"], 2), (Finish::Length, 2, "a##".into()));
    // In the very last token of the budget; within one token; at the very start.
    assert_eq!(end(&[0, 2, 0], &["##"], 2), (Finish::Stop, 2, "a".into()));
    assert_eq!(end(&[0, 3, 0], &["### b", "# "], 9), (Finish::Stop, 2, "a###".into()));
    assert_eq!(end(&[0, 3, 0], &["a"], 9), (Finish::Stop, 1, String::new()));
    // Over two tokens, with more behind it.
    assert_eq!(end(&[0, 2, 3, 0], &["#####"], 9), (Finish::Stop, 3, "a".into()));
    assert_eq!(end(&[0, 1], &["longer than anything that is said"], 9), (Finish::Eos, 2, "az".into()));
}

#[test]
fn any_of_several_end_tokens_ends_a_sequence() {
    let vocab = Vocab::new([&b"a"[..], b"", b""], [1, 2]);
    for eos in [1, 2] {
        let engine = Parrot { vocab: vocab.clone(), ..Parrot::new(&[], 0, &[0, eos]) };
        let answer = &generate_all(&engine, &[engine.request(&[])], 1).unwrap()[0][0];
        assert_eq!((answer.finish, answer.tokens.as_slice()), (Finish::Eos, &[0, eos][..]));
    }
}

#[test]
fn broken_logits_cost_one_sample_of_a_stream() {
    let engine = Parrot::new(&["a", "é"], 9, &[0, 1, 0]);
    let long = engine.request(&["aa"]);
    let short = Request { max_tokens: 3, ..long.clone() };
    let heard = hear(&engine, &[long, short], 2, &AtomicBool::new(false), |_, _| Flow::Continue);
    let [long, short] = [0, 1].map(|request| &heard[&SampleId { request, sample: 0 }]);
    assert!(long.failed && !short.failed);
    assert_eq!((long.text.as_str(), short.text.as_str()), ("aéa", "aéa"));
    assert_eq!(short.answer.as_ref().unwrap().finish, Finish::Length);
    let error = generate_all(&engine, &[engine.request(&[])], 1).unwrap_err();
    assert!(matches!(error, DriveError::Sampling { lane: 0, .. }));
}

fn finishes(heard: &BTreeMap<SampleId, Heard>) -> Vec<(Finish, usize)> {
    heard.values().map(|heard| heard.answer.as_ref().unwrap()).map(|a| (a.finish, a.tokens.len())).collect()
}

#[test]
fn one_answer_is_cancelled_and_the_others_go_on() {
    let engine = Parrot::new(&["a"], 9, &[0; 50]);
    let requests = [5, 50, 7].map(|max_tokens| Request { max_tokens, ..engine.request(&["ab"]) });
    let heard = hear(&engine, &requests, 2, &AtomicBool::new(false), |id, event| match event {
        Event::Token(token) if id.request == 1 && token.index == 2 => Flow::Cancel,
        _ => Flow::Continue,
    });
    assert_eq!(finishes(&heard), [(Finish::Length, 5), (Finish::Cancelled, 3), (Finish::Length, 7)]);
}

#[test]
fn cancelling_all_keeps_what_there_is_and_computes_no_more() {
    for at in [0, 3] {
        let engine = Parrot::new(&["a"], 9, &[0; 50]);
        let requests = vec![Request { samples: 2, max_tokens: 4, ..engine.request(&["ab"]) }; 3];
        let heard = hear(&engine, &requests, 3, &AtomicBool::new(false), |id, event| match event {
            Event::Token(token) if id.sample == 0 && token.index == at => Flow::CancelAll,
            _ => Flow::Continue,
        });
        // The samples beside it have their tokens of that pass, and those that ended by themselves did.
        let ended = if at == 3 { (Finish::Length, 4) } else { (Finish::Cancelled, at + 1) };
        let rest = (Finish::Cancelled, 0);
        assert_eq!(finishes(&heard), [ended, ended, ended, rest, rest, rest]);
        assert_eq!(engine.passes.get(), at + 1);
    }
}

#[test]
fn another_thread_can_cancel() {
    let engine = Parrot::new(&["a"], 9, &[0; 50]);
    let requests = vec![Request { samples: 2, ..engine.request(&[]) }; 2];
    let cancel = AtomicBool::new(false);
    let heard = hear(&engine, &requests, 1, &cancel, |_, event| {
        if matches!(event, Event::Token(token) if token.index == 6) {
            std::thread::scope(|scope| drop(scope.spawn(|| cancel.store(true, Ordering::Relaxed))));
        }
        Flow::Continue
    });
    let rest = (Finish::Cancelled, 0);
    assert_eq!(finishes(&heard), [(Finish::Cancelled, 7), rest, rest, rest]);
    // Set from the start: no pass at all, and still one event for every sample.
    let passes = engine.passes.get();
    let heard = hear(&engine, &requests, 8, &cancel, |_, _| Flow::Continue);
    assert_eq!(finishes(&heard), [rest; 4]);
    assert_eq!(engine.passes.get(), passes);
}

#[test]
fn a_lane_without_rows_needs_no_pass() {
    struct Done;
    impl<S> Lane<S> for Done {
        type Done = usize;
        fn rows<'a>(&'a mut self, _: &mut Vec<Row<'a, S>>) {}
        fn absorb(&mut self, _: &Vocab, outputs: Vec<Output>) -> Result<Option<usize>, stir_core::SamplingError> {
            Ok(Some(outputs.len()))
        }
    }
    let engine = Parrot::new(&[], 0, &[]);
    let mut seen = Vec::new();
    drive(&engine, [Ok(Done), Ok(Done)], 1, |lane, outputs| {
        seen.push((lane, outputs));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((seen, engine.passes.get()), (vec![(0, 0), (1, 0)], 0));
}
