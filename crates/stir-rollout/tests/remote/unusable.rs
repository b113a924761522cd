//! Answers that are no samples, and what they cost.

use serde_json::{Value, json};
use stir_rollout::{
    FailureReason,
    remote::{RemoteError, RemoteServer, ReplyError},
};

use super::{
    Folder, local, remote, run,
    server::{Answer, Kind},
    start,
};

type Change = fn(&mut Value);

/// Changes that make a good answer one that cannot be used, and what is said of them.
fn unusable() -> Vec<(&'static str, Change)> {
    vec![
        ("has 0 choices", |reply| reply["choices"] = json!([])),
        ("has 2 choices", |reply| reply["choices"] = json!([reply["choices"][0], reply["choices"][0]])),
        ("is no completion: {", |reply| drop(reply.as_object_mut().unwrap().remove("choices"))),
        ("is no completion: \"hi\"", |reply| *reply = json!("hi")),
        ("finish_reason is \"\"", |reply| reply["choices"][0]["finish_reason"] = Value::Null),
        ("finish_reason is \"abort\"", |reply| reply["choices"][0]["finish_reason"] = json!("abort")),
        ("holds no token ids", |reply| reply["choices"][0]["token_ids"] = Value::Null),
        ("token 41 of the answer is outside the vocabulary of 41", |reply| {
            reply["choices"][0]["token_ids"][1] = json!(41)
        }),
        ("token -1 of the answer", |reply| reply["choices"][0]["token_ids"][0] = json!(-1)),
        ("token 99999999999999 of", |reply| reply["choices"][0]["token_ids"][0] = json!(99_999_999_999_999_u64)),
        ("is no completion", |reply| reply["choices"][0]["token_ids"][0] = json!(u64::MAX)),
        ("its text says \"neverthis\"", |reply| reply["choices"][0]["text"] = json!("never this")),
        ("read a prompt of 2 tokens", |reply| reply["choices"][0]["prompt_token_ids"] = json!([7, 7])),
        ("has 3 tokens of 24 and finish_reason \"length\"", |reply| {
            let choice = &mut reply["choices"][0];
            (choice["token_ids"], choice["text"], choice["finish_reason"]) =
                (json!([0, 1, 2]), json!("abc"), json!("length"));
        }),
        ("has 25 tokens of 24", |reply| {
            let choice = &mut reply["choices"][0];
            (choice["token_ids"], choice["text"]) = (json!(vec![0; 25]), json!("a".repeat(25)));
        }),
        ("ended with token 3, which is none of the end tokens [40]", |reply| {
            let choice = &mut reply["choices"][0];
            (choice["token_ids"], choice["text"]) = (json!([0, 1]), json!("ab"));
            (choice["finish_reason"], choice["stop_reason"]) = (json!("stop"), json!(3));
        }),
    ]
}

#[test]
fn an_answer_that_cannot_be_used_costs_its_sample() {
    for (said, change) in unusable() {
        let server = start(Kind::Vllm, move |model, ask| {
            (ask.n == 2).then(|| {
                let mut reply = model.reply(ask);
                change(&mut reply);
                Answer::json(&reply)
            })
        });
        let folder = Folder::new();
        let summary = run(remote(&server), &folder.out()).unwrap();
        assert!(summary.complete && summary.samples == 19 && summary.failures.len() == 1, "{said}");
        let FailureReason::Reply(reply) = &summary.failures[0].reason else { panic!("{said}") };
        assert!(reply.to_string().contains(said), "{reply}, not {said}");
        // The next run draws it.
        let server = start(Kind::Vllm, |_, _| None);
        run(remote(&server), &folder.out()).unwrap();
        assert_eq!((folder.bytes(), server.asked()), (local().0, 2), "{said}");
    }
    for (body, said) in
        [(&b"<html>Bad gateway</html>"[..], "<html>Bad"), (b"", "EOF while parsing"), (b"\xff{", "\u{fffd}{")]
    {
        let server = start(Kind::Vllm, move |_, ask| (ask.n == 2).then(|| Answer::Whole(200, "", body.to_vec())));
        let summary = run(remote(&server), &Folder::new().out()).unwrap();
        let reply = format!("{:?} {0}", summary.failures[0].reason);
        assert!(summary.samples == 19 && reply.contains("NoCompletion"), "{reply}");
        let source = std::error::Error::source(&summary.failures[0].reason).unwrap();
        let chain = format!("{source}: {}", source.source().unwrap());
        assert!(chain.contains(said), "{chain}");
    }
}

#[test]
fn answers_that_can_never_be_used_end_the_run() {
    for from in [0, 5] {
        let server = start(Kind::Vllm, move |model, ask| {
            (ask.n >= from).then(|| {
                let mut reply = model.reply(ask);
                reply["choices"][0]["token_ids"][0] = json!(1000);
                Answer::json(&reply)
            })
        });
        let folder = Folder::new();
        let error = run(RemoteServer { parallel: 1, ..remote(&server) }, &folder.out()).unwrap_err();
        let RemoteError::Reply { source: ReplyError::Token { token: 1000, .. }, .. } = error else { panic!("{error}") };
        // One to the question at the start; or eight in a row, after which one more may be under way.
        let (kept, asked) = if from == 0 { (0, 1..=1) } else { (4, 13..=14) };
        assert!(asked.contains(&server.asked()), "{}", server.asked());
        assert_eq!(if from == 0 { 0 } else { folder.rollouts().len() }, kept);
    }
}
