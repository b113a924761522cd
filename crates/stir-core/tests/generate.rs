//! Requests, streams and cancellation on the toy engine.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use proptest::prelude::*;
use stir_core::{
    Decode, DriveError, EmptyStop, Engine, Event, Fingerprint, Finish, Flow, GenerateError, GenerateOptions, Generated,
    Generation, Generator, Lane, ModelShape, Output, Request, RequestError, Row, SampleId, Sampling, SamplingError,
    Scheduler, Session, StepError, Text, TokenId, Vocab, drive, prefill, stream,
    toy::{ToyEngine, ToyError, ToySession},
};

const WARM: Sampling = Sampling { temperature: 1.0, top_p: 0.9, ..Sampling::GREEDY };

fn max_batch(max_batch: usize) -> GenerateOptions<'static> {
    GenerateOptions { max_batch, ..GenerateOptions::default() }
}

fn generate<E: Engine>(
    engine: &E,
    requests: &[Request],
    batch: usize,
) -> Result<Vec<Vec<Generated>>, GenerateError<E::Error>> {
    stir_core::generate(engine, requests, max_batch(batch))
}

fn ask(engine: &ToyEngine, text: &str) -> Request {
    Request { max_tokens: 24, sampling: WARM, ..Request::new(engine.encode(text).unwrap()) }
}

/// The events of one answer that a listener received.
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
    max_batch: usize,
    cancel: &AtomicBool,
    mut flow: impl FnMut(SampleId, &Event) -> Flow,
) -> BTreeMap<SampleId, Heard> {
    let mut all: BTreeMap<SampleId, Heard> = BTreeMap::new();
    stream(engine, requests, GenerateOptions { max_batch, cancel: Some(cancel) }, |id, event| {
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
    for max_batch in [0, 1, 3, 16] {
        let answers = generate(&engine, &requests, max_batch).unwrap();
        assert_eq!(answers, generate(&engine, &requests, 5).unwrap());
        let heard = hear(&engine, &requests, max_batch, &AtomicBool::new(false), |_, _| Flow::Continue);
        for (id, heard) in heard {
            assert_eq!(heard.answer.unwrap(), answers[id.request][id.sample]);
        }
    }
    let greedy = &generate(&engine, &requests, 5).unwrap()[2];
    assert_eq!(greedy[0], greedy[1]);
}

#[test]
fn a_sample_depends_on_its_seed_and_stream_alone() {
    let engine = ToyEngine::new(1);
    let many = Request { samples: 5, seed: 9, stream: 40, ..ask(&engine, "hello") };
    let together = generate(&engine, &[ask(&engine, "abc"), many.clone(), ask(&engine, "q")], 3).unwrap();
    for (k, answer) in together[1].iter().enumerate() {
        let alone = Request { samples: 1, stream: 40 + k as u64, ..many.clone() };
        assert_eq!(*answer, generate(&engine, &[alone], 1).unwrap()[0][0]);
    }
    assert!(together[1].windows(2).any(|pair| pair[0] != pair[1]));
    let last = Request { stream: u64::MAX, samples: 2, ..many };
    assert_eq!(last.sample_stream(1), 0);
    assert!(generate(&engine, &[last], 2).is_ok());
}

#[test]
fn batches_equal_singles_and_keep_order() {
    let engine = ToyEngine::new(11);
    let prompts: Vec<_> = ["abc", "d", "hello", "ab", "zzzz"].iter().map(|p| engine.encode(p).unwrap()).collect();
    let requests = Request { max_tokens: 24, sampling: WARM, seed: 5, ..Request::default() }.with_prompts(&prompts);
    let wide = generate(&engine, &requests, 3).unwrap().concat();
    assert_eq!(wide, generate(&engine, &requests, 1).unwrap().concat());
    assert_eq!(wide.len(), prompts.len());
    assert!(wide.iter().all(|g| g.tokens.len() == g.log_probs.len() && g.forward_passes == g.tokens.len()));
    assert!(generate(&engine, &[], 1).unwrap().is_empty());
}

#[test]
fn a_forked_prefix_samples_what_a_fresh_one_does() {
    let engine = ToyEngine::new(11);
    let request = ask(&engine, "hello");
    let run = |session| {
        let mut out = None;
        let lane = Decode::resume(&engine, session, &request, 2).unwrap();
        drive(&engine, [lane], 1, |_, g| {
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
        let found = stream(&engine, &[good.clone(), bad], max_batch(2), listen);
        assert!(matches!(found, Err(GenerateError::Request { request: 1, source }) if source == expected));
    }
    let bad = Request { sampling: Sampling { min_p: 2.0, ..WARM }, ..good };
    assert_eq!(Decode::new(&engine, &bad, 0).unwrap_err().to_string(), "sampling min_p is 2, must be in [0, 1]");
    stream(&engine, &[], max_batch(2), listen).unwrap();
    assert!(generate(&engine, &[], 2).unwrap().is_empty());
}

#[test]
fn the_context_ends_a_sequence_and_break_ends_the_loop() {
    let engine = ToyEngine::without_eos(3);
    let prompts = vec![vec![1; engine.shape().max_context - 4]; 3];
    let greedy = Request { sampling: Sampling::GREEDY, ..Request::default() };
    let requests = Request { max_tokens: 100, ..greedy.clone() }.with_prompts(&prompts);
    let answers = generate(&engine, &requests, 2).unwrap().concat();
    assert!(answers.iter().all(|g| g.tokens.len() == 4 && g.finish == Finish::Length));

    let mut seen = 0;
    let requests = Request { max_tokens: 2, ..greedy }.with_prompts(&prompts);
    let lanes = requests.iter().map(|request| Decode::new(&engine, request, 0).unwrap());
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
        let answers = generate(&engine, &[free, stopped], 2).unwrap();
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

/// A model that says a given text, token after token, and then NaN; it counts its passes.
struct Parrot {
    toy: ToyEngine,
    vocab: Vocab,
    says: Vec<TokenId>,
    /// Length of the prompts.
    after: usize,
    passes: AtomicUsize,
}

impl Parrot {
    fn new(tokens: &[&str], eos: TokenId, says: &[TokenId]) -> Self {
        let vocab = Vocab::new(tokens.iter().map(|token| token.as_bytes()), [eos]);
        Self { toy: ToyEngine::new(0), vocab, says: says.to_vec(), after: 1, passes: AtomicUsize::new(0) }
    }

    fn passes(&self) -> usize {
        self.passes.load(Ordering::Relaxed)
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
    fn session(&self) -> ToySession {
        self.toy.session()
    }
    fn forward(&self, rows: &mut [Row<'_, ToySession>]) -> Result<Vec<Output>, ToyError> {
        assert!(!rows.is_empty(), "no pass without rows");
        self.passes.fetch_add(1, Ordering::Relaxed);
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
fn a_stop_string_may_be_the_name_of_a_special_token() {
    let vocab = Vocab::new([&b"a"[..], b"", b"", b"<e>"], [2]).with_special([(1, "<turn>"), (2, "<e>")]);
    let end = |says: &[TokenId], stop: &[&str]| {
        let engine = Parrot { vocab: vocab.clone(), ..Parrot::new(&[], 0, says) };
        let answer = generate(&engine, &[engine.request(stop)], 1).unwrap()[0][0].clone();
        (answer.finish, answer.tokens.len(), answer.text(&engine.vocab))
    };
    assert_eq!(end(&[0, 1, 0, 2], &["x", "<turn>"]), (Finish::Stop, 2, "a".into()));
    assert_eq!(end(&[0, 1, 0, 2], &["turn"]), (Finish::Eos, 4, "aa".into()));
    // An end token that is asked for as a stop string is one; the same text in other tokens is too.
    assert_eq!(end(&[0, 0, 2], &["<e>"]), (Finish::Stop, 3, "aa".into()));
    assert_eq!(end(&[0, 3, 2], &["<e>"]), (Finish::Stop, 2, "a".into()));
}

#[test]
fn any_of_several_end_tokens_ends_a_sequence() {
    let vocab = Vocab::new([&b"a"[..], b"", b""], [1, 2]);
    for eos in [1, 2] {
        let engine = Parrot { vocab: vocab.clone(), ..Parrot::new(&[], 0, &[0, eos]) };
        let answer = &generate(&engine, &[engine.request(&[])], 1).unwrap()[0][0];
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
    let error = generate(&engine, &[engine.request(&[])], 1).unwrap_err();
    assert!(matches!(error, GenerateError::Sampling { sample: SampleId { request: 0, sample: 0 }, .. }));
    let lane = Decode::new(&engine, &engine.request(&[]), 0).unwrap();
    let error = drive(&engine, [lane], 1, |_, _| ControlFlow::Continue(())).unwrap_err();
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
        // The other samples have their tokens of that pass, and those that ended by themselves did.
        let ended = if at == 3 { (Finish::Length, 4) } else { (Finish::Cancelled, at + 1) };
        let rest = (Finish::Cancelled, 0);
        assert_eq!(finishes(&heard), [ended, ended, ended, rest, rest, rest]);
        assert_eq!(engine.passes(), at + 1);
    }
}

#[test]
fn another_thread_can_cancel() {
    let engine = Parrot::new(&["a"], 9, &[0; 50]);
    let requests = vec![Request { samples: 2, ..engine.request(&[]) }; 2];
    let cancel = AtomicBool::new(false);
    let heard = hear(&engine, &requests, 1, &cancel, |_, event| {
        if matches!(event, Event::Token(token) if token.index == 6) {
            thread::scope(|scope| drop(scope.spawn(|| cancel.store(true, Ordering::Relaxed))));
        }
        Flow::Continue
    });
    let rest = (Finish::Cancelled, 0);
    assert_eq!(finishes(&heard), [(Finish::Cancelled, 7), rest, rest, rest]);
    // Set from the start: no pass at all, and still one event for every sample.
    let passes = engine.passes();
    let heard = hear(&engine, &requests, 8, &cancel, |_, _| Flow::Continue);
    assert_eq!(finishes(&heard), [rest; 4]);
    assert_eq!(engine.passes(), passes);
}

#[test]
fn a_lane_without_rows_needs_no_pass() {
    struct Done;
    impl<S> Lane<S> for Done {
        type Done = usize;
        fn rows<'a>(&'a mut self, _: &mut Vec<Row<'a, S>>) {}
        fn absorb(&mut self, _: &Vocab, outputs: Vec<Output>) -> Result<Option<usize>, SamplingError> {
            Ok(Some(outputs.len()))
        }
    }
    let engine = Parrot::new(&[], 0, &[]);
    let mut seen = Vec::new();
    drive(&engine, [Done, Done], 1, |lane, outputs| {
        seen.push((lane, outputs));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((seen, engine.passes()), (vec![(0, 0), (1, 0)], 0));
}

/// Serving needs these on any thread, and engines on several at once.
#[test]
fn what_serves_can_move_between_threads() {
    const fn sent<T: Send>() {}
    const fn shared<T: Send + Sync + ?Sized>() {}
    const {
        shared::<ToyEngine>();
        shared::<Arc<ToyEngine>>();
        shared::<dyn Engine<Session = ToySession, Error = ToyError>>();
        shared::<dyn Text<Session = ToySession, Error = ToyError>>();
        sent::<ToySession>();
        sent::<Decode<ToySession>>();
        sent::<Scheduler<Arc<ToyEngine>, Decode<ToySession>>>();
        sent::<Generator<Arc<ToyEngine>>>();
        sent::<Event>();
    }
}

#[test]
fn lanes_join_and_leave_between_passes() {
    let engine = Arc::new(ToyEngine::without_eos(11));
    let lane = |text: &str, sample| {
        let request = Request { max_tokens: 6, ..ask(&engine, text) };
        Decode::new(&*engine, &request, sample).unwrap()
    };
    let alone = |text: &str, sample| {
        let mut answer = None;
        drive(&*engine, [lane(text, sample)], 1, |_, generated| {
            answer = Some(generated);
            ControlFlow::Continue(())
        })
        .unwrap();
        answer.unwrap()
    };
    let mut scheduler = Scheduler::new(Arc::clone(&engine), 2);
    let ids = [scheduler.push(lane("abc", 0)), scheduler.push(lane("abc", 1)), scheduler.push(lane("d", 0))];
    assert_eq!((scheduler.len(), scheduler.has_room()), (3, false));
    scheduler.step().unwrap();
    let joined = scheduler.push(lane("hello", 2));
    // One that runs holds its partial answer, one that waits has none; both leave at once.
    let left = scheduler.cancel(ids[1]).unwrap().answer();
    assert_eq!((left.finish, left.tokens.as_slice()), (Finish::Cancelled, &alone("abc", 1).tokens[..1]));
    assert!(scheduler.cancel(ids[2]).unwrap().answer().tokens.is_empty());
    assert!(scheduler.cancel(ids[1]).is_none());
    let mut finished = Vec::new();
    while !scheduler.is_empty() {
        finished.extend(scheduler.step().unwrap().into_iter().map(|(id, answer)| (id, answer.unwrap())));
    }
    assert_eq!(finished, [(ids[0], alone("abc", 0)), (joined, alone("hello", 2))]);
    assert!(scheduler.step().unwrap().is_empty());
}

/// An engine whose passes fail while a flag is set.
struct Failing(ToyEngine, AtomicBool);

impl Engine for Failing {
    type Session = ToySession;
    type Error = ToyError;

    fn shape(&self) -> ModelShape {
        self.0.shape()
    }
    fn fingerprint(&self) -> &Fingerprint {
        self.0.fingerprint()
    }
    fn vocab(&self) -> &Vocab {
        self.0.vocab()
    }
    fn session(&self) -> ToySession {
        self.0.session()
    }
    fn forward(&self, rows: &mut [Row<'_, ToySession>]) -> Result<Vec<Output>, ToyError> {
        let outputs = self.0.forward(rows)?;
        if self.1.load(Ordering::Relaxed) { Err(ToyError::Unknown('!')) } else { Ok(outputs) }
    }
}

#[test]
fn a_failed_pass_costs_its_own_lanes_only() {
    let toy = ToyEngine::without_eos(2);
    let request = Request { max_tokens: 4, ..ask(&toy, "abc") };
    let many = Request { samples: 3, ..request.clone() };
    let expected = generate(&toy, &[request.clone(), many.clone()], 1).unwrap();
    let engine = Failing(toy, AtomicBool::new(false));

    let lane = || Decode::new(&engine, &request, 0).unwrap();
    let mut scheduler = Scheduler::new(&engine, 1);
    let (lost, kept) = (scheduler.push(lane()), scheduler.push(lane()));
    scheduler.step().unwrap();
    engine.1.store(true, Ordering::Relaxed);
    assert_eq!(scheduler.step().unwrap_err(), StepError { lost: vec![lost], source: ToyError::Unknown('!') });
    engine.1.store(false, Ordering::Relaxed);
    let mut finished = Vec::new();
    while !scheduler.is_empty() {
        finished.extend(scheduler.step().unwrap());
    }
    assert_eq!(finished, [(kept, Ok(expected[0][0].clone()))]);

    // Of requests: those in the pass, or all of one whose prompt could not be encoded.
    let mut generator = Generator::new(&engine, 1);
    let sample = |request, sample| SampleId { request, sample };
    for lost in [vec![sample(0, 0)], (0..3).map(|k| sample(1, k)).collect()] {
        generator.push(if lost.len() == 1 { request.clone() } else { many.clone() }).unwrap();
        engine.1.store(true, Ordering::Relaxed);
        assert_eq!(generator.step(), Err(GenerateError::Engine { lost, source: ToyError::Unknown('!') }));
        engine.1.store(false, Ordering::Relaxed);
        assert!(generator.is_empty());
    }
    let id = generator.push(many).unwrap();
    let mut answers = Vec::new();
    while !generator.is_empty() {
        for (sample, event) in generator.step().unwrap() {
            if let Event::Finished { answer, .. } = event {
                assert_eq!((sample.request, sample.sample), (id, answers.len()));
                answers.push(answer);
            }
        }
    }
    assert_eq!(answers, expected[1]);
}

/// A message to a serving thread.
enum Message {
    Ask(Request, mpsc::SyncSender<(SampleId, Event)>),
    Cancel(usize),
}

/// A server in a few lines: one thread owns the generator, others send it requests.
fn serve(engine: Arc<ToyEngine>, messages: &mpsc::Receiver<Message>) {
    let mut generator = Generator::new(engine, 4);
    let mut listeners = BTreeMap::new();
    loop {
        // Waits for a message if there is nothing to do, and otherwise takes those that have come.
        let mut message = if generator.is_empty() { messages.recv().ok() } else { messages.try_recv().ok() };
        if message.is_none() && generator.is_empty() {
            return;
        }
        while let Some(some) = message {
            match some {
                Message::Ask(request, listener) => drop(listeners.insert(generator.push(request).unwrap(), listener)),
                Message::Cancel(request) => generator.cancel_request(request),
            }
            message = messages.try_recv().ok();
        }
        for (id, event) in generator.step().unwrap() {
            listeners[&id.request].send((id, event)).unwrap();
        }
    }
}

#[test]
fn a_server_admits_and_cancels_requests_while_others_run() {
    let engine = Arc::new(ToyEngine::without_eos(11));
    let long = Request { max_tokens: 90, ..ask(&engine, "abc") };
    let two = Request { max_tokens: 7, samples: 2, ..ask(&engine, "hello") };
    let expected = generate(&engine, &[long.clone(), two.clone()], 1).unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let serving = Arc::clone(&engine);
        scope.spawn(move || serve(serving, &receiver));
        let ask = |request: &Request, ahead| {
            let (listener, events) = mpsc::sync_channel(ahead);
            sender.send(Message::Ask(request.clone(), listener)).unwrap();
            events
        };
        // The server waits until each event of the first request is taken, so that it cannot run ahead of this thread.
        let first = ask(&long, 0);
        let mut seen = vec![first.recv().unwrap()];
        let second = ask(&two, 1000);
        let mut answers = BTreeMap::new();
        while answers.len() < 2 {
            seen.push(first.recv().unwrap());
            for (id, event) in second.try_iter() {
                if let Event::Finished { answer, .. } = event {
                    answers.insert(id, answer);
                }
            }
        }
        assert!(answers.into_values().eq(expected[1].iter().cloned()));
        assert!(seen.iter().all(|(_, event)| matches!(event, Event::Token(_))), "the first request is still running");
        sender.send(Message::Cancel(0)).unwrap();
        let ended = loop {
            match first.recv().unwrap() {
                (_, Event::Finished { answer, .. }) => break answer,
                event => seen.push(event),
            }
        };
        assert_eq!((ended.finish, ended.tokens.len()), (Finish::Cancelled, seen.len()));
        assert_eq!(ended.tokens, expected[0][0].tokens[..ended.tokens.len()]);
        drop(sender);
    });
}
