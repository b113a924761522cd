//! Answers over a socket are those of `generate`.

use crate::common::{plain, serve};
use futures_util::future::join_all;
use serde_json::{Value, json};
use stir_core::{Engine, Generated, Request, Sampling, Text, log_prob, prefill, toy::ToyEngine};
use stir_serve::ServeConfig;

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

fn request(engine: &ToyEngine, prompt: &str) -> Request {
    Request { max_tokens: 30, sampling: Sampling::GREEDY, ..Request::new(engine.encode(prompt).unwrap()) }
}

/// What a choice says of how its answer ended.
fn finish(answer: &Generated) -> &'static str {
    match answer.finish {
        stir_core::Finish::Length => "length",
        _ => "stop",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_that_of_generate_whole_and_streamed() {
    let engine = ToyEngine::new(1);
    let server = serve(engine.clone(), ServeConfig::default()).await;
    for (prompt, stop) in [("abc", None), ("hello", Some("\n")), ("q", Some("e")), ("7", Some("zz"))] {
        let stops = stop.map(str::to_owned).into_iter().collect();
        let expected = &plain(&engine, &Request { stop: stops, ..request(&engine, &format!("{prompt}\n")) })[0];
        let text = expected.text(engine.vocab());

        let body = json!({ "model": "toy", "messages": [{ "role": "user", "content": prompt }], "max_tokens": 30,
            "stop": stop });
        let (status, whole) = server.post(CHAT, body.clone()).await;
        assert_eq!(status, 200, "{whole}");
        assert_eq!(whole["object"], "chat.completion");
        let choice = &whole["choices"][0];
        assert_eq!((&choice["message"]["role"], &choice["message"]["content"]), (&json!("assistant"), &json!(text)));
        assert_eq!(choice["finish_reason"], finish(expected));
        let (of_prompt, of_answer) = (prompt.len() + 1, expected.tokens.len());
        let usage = json!({ "prompt_tokens": of_prompt, "completion_tokens": of_answer,
            "total_tokens": of_prompt + of_answer });
        assert_eq!(whole["usage"], usage);
        assert_eq!(choice.get("stir"), None);

        let mut streamed = body.clone();
        streamed["stream_options"] = json!({ "include_usage": true });
        let chunks = server.stream(CHAT, streamed).await;
        let (last, chunks) = chunks.split_last().unwrap();
        assert_eq!((&last["usage"], &last["choices"]), (&usage, &json!([])));
        assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
        let pieces: String = chunks.iter().map(|c| c["choices"][0]["delta"]["content"].as_str().unwrap()).collect();
        assert_eq!(pieces, text);
        assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], finish(expected));
        assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk["object"] == "chat.completion.chunk"));

        let (_, completion) =
            server.post(TEXT, json!({ "prompt": format!("{prompt}\n"), "max_tokens": 30, "stop": stop })).await;
        assert_eq!(
            (&completion["object"], &completion["choices"][0]["text"]),
            (&json!("text_completion"), &json!(text))
        );
        let chunks =
            server.stream(TEXT, json!({ "prompt": format!("{prompt}\n"), "max_tokens": 30, "stop": stop })).await;
        assert_eq!(chunks.iter().map(|c| c["choices"][0]["text"].as_str().unwrap()).collect::<String>(), text);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_may_be_parts_and_roles_reach_the_template() {
    let engine = ToyEngine::new(3);
    let server = serve(engine.clone(), ServeConfig::default()).await;
    let messages = json!([{ "role": "developer", "content": "a" }, { "role": "assistant", "content": "b", "refusal": null },
        { "role": "user", "content": [{ "type": "text", "text": "c" }, { "type": "text", "text": "d" }] }]);
    let body = json!({ "messages": messages, "max_completion_tokens": 8, "user": "x", "frequency_penalty": 0 });
    let (status, answer) = server.post(CHAT, body).await;
    assert_eq!(status, 200, "{answer}");
    let expected = &plain(&engine, &Request { max_tokens: 8, ..request(&engine, "a\nb\ncd\n") })[0];
    assert_eq!(answer["choices"][0]["message"]["content"], expected.text(engine.vocab()));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_and_batches_draw_from_streams_of_their_own() {
    let engine = ToyEngine::new(2);
    let server = serve(engine.clone(), ServeConfig::default()).await;
    let sampling = Sampling { temperature: 1.2, top_p: 0.9, top_k: 20, min_p: 0.01, repetition_penalty: 1.1 };
    let base = Request { max_tokens: 20, sampling, samples: 3, seed: 7, ..Request::default() };
    let settings = json!({ "n": 3, "seed": 7, "temperature": 1.2, "top_p": 0.9, "top_k": 20, "min_p": 0.01,
        "repetition_penalty": 1.1, "max_tokens": 20, "return_token_ids": true });
    let prompts = [engine.encode("abc").unwrap(), engine.encode("xyz12").unwrap()];
    let expected: Vec<Generated> = prompts
        .iter()
        .zip([0, 3])
        .flat_map(|(prompt, stream)| plain(&engine, &Request { prompt: prompt.clone(), stream, ..base.clone() }))
        .collect();
    for prompt in [json!(["abc", "xyz12"]), json!(prompts)] {
        let mut body = settings.clone();
        body["prompt"] = prompt;
        let (status, answer) = server.post(TEXT, body.clone()).await;
        assert_eq!(status, 200, "{answer}");
        let choices = answer["choices"].as_array().unwrap();
        assert_eq!(choices.len(), 6);
        let mut streamed = vec![Vec::new(); 6];
        let mut asked = vec![Value::Null; 6];
        for chunk in server.stream(TEXT, body).await {
            let choice = &chunk["choices"][0];
            let index = choice["index"].as_u64().unwrap() as usize;
            streamed[index].extend(choice["token_ids"].as_array().unwrap().clone());
            if asked[index].is_null() {
                asked[index] = choice["prompt_token_ids"].clone();
            }
        }
        for (i, expected) in expected.iter().enumerate() {
            assert_eq!(choices[i]["index"], i);
            assert_eq!(choices[i]["token_ids"], json!(expected.tokens));
            assert_eq!(choices[i]["prompt_token_ids"], json!(prompts[i / 3]));
            assert_eq!(choices[i]["text"], expected.text(engine.vocab()));
            assert_eq!((&json!(streamed[i]), &asked[i]), (&json!(expected.tokens), &json!(prompts[i / 3])));
        }
    }
    // A prompt of token ids, and a seed that nobody named.
    let (_, answer) = server.post(TEXT, json!({ "prompt": prompts[0], "max_tokens": 20 })).await;
    let greedy = &plain(&engine, &Request { max_tokens: 20, ..request(&engine, "abc") })[0];
    assert_eq!(answer["choices"][0]["text"], greedy.text(engine.vocab()));
    let random = |answer: Value| answer["choices"][0]["text"].as_str().unwrap().to_owned();
    let body = json!({ "prompt": "abc", "max_tokens": 40, "temperature": 1.5 });
    let several = join_all((0..4).map(|_| server.post(TEXT, body.clone()))).await;
    let mut texts: Vec<String> = several.into_iter().map(|(_, answer)| random(answer)).collect();
    texts.dedup();
    assert!(texts.len() > 1, "{texts:?}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_probabilities_are_those_of_the_model() {
    let engine = ToyEngine::without_eos(1);
    let server = serve(engine.clone(), ServeConfig::default()).await;
    let expected = &plain(&engine, &Request { max_tokens: 6, ..request(&engine, "ab\n") })[0];
    let body = json!({ "messages": [{ "role": "user", "content": "ab" }], "max_tokens": 6, "logprobs": true, "top_logprobs": 4 });
    let (_, chat) = server.post(CHAT, body.clone()).await;
    let content = chat["choices"][0]["logprobs"]["content"].as_array().unwrap();
    let streamed: Vec<Value> = server
        .stream(CHAT, body)
        .await
        .iter()
        .flat_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(content, &streamed);
    let text = json!({ "prompt": "ab\n", "max_tokens": 6, "logprobs": 4 });
    let (_, text) = server.post(TEXT, text).await;
    let text = &text["choices"][0]["logprobs"];
    assert_eq!((content.len(), text["tokens"].as_array().unwrap().len()), (6, 6));

    let mut tokens = engine.encode("ab\n").unwrap();
    let mut offset = 0;
    for (i, &token) in expected.tokens.iter().enumerate() {
        let mut session = prefill(&engine, &tokens).unwrap();
        let last = &tokens[tokens.len() - 1..];
        let row =
            stir_core::Row { session: &mut session, tokens: last, additions: Vec::new(), capture: &[], logits: true };
        let logits = engine.forward(&mut [row]).unwrap().remove(0).logits;
        let mut all: Vec<u32> = (0..41).collect();
        all.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
        let name = engine.vocab().text(&[token]);
        assert_eq!((&content[i]["token"], &text["tokens"][i]), (&json!(name), &json!(name)));
        assert_eq!(content[i]["bytes"], json!(engine.vocab().bytes(token)));
        assert_eq!(text["text_offset"][i], offset);
        let near = |found: &Value, id: u32| {
            let difference = found.as_f64().unwrap() - f64::from(log_prob(&logits, id).unwrap());
            assert!(difference.abs() < 1e-5, "{found}");
        };
        near(&content[i]["logprob"], token);
        near(&text["token_logprobs"][i], token);
        let top = content[i]["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 4);
        for (top, &id) in top.iter().zip(&all) {
            assert_eq!(top["token"], engine.vocab().text(&[id]));
            near(&top["logprob"], id);
            near(&text["top_logprobs"][i][engine.vocab().text(&[id])], id);
        }
        tokens.push(token);
        offset += name.chars().count();
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_streams_at_once_are_not_mixed() {
    let engine = ToyEngine::new(4);
    let config = ServeConfig { max_batch: 8, queue: 200, prefix_positions: 40, ..ServeConfig::default() };
    let server = serve(engine.clone(), config).await;
    let prompts: Vec<String> =
        (0..100).map(|i| format!("{}{i}", ["a", "bcd", "the ", "q\n\n"][i % 4].trim())).collect();
    let answers =
        join_all(prompts.iter().map(|prompt| {
            server.stream(TEXT, json!({ "prompt": prompt, "max_tokens": 30, "return_token_ids": true }))
        }));
    for (prompt, chunks) in prompts.iter().zip(answers.await) {
        let expected = &plain(&engine, &request(&engine, prompt))[0];
        let choices = || chunks.iter().map(|chunk| &chunk["choices"][0]);
        let ids: Vec<&Value> = choices().flat_map(|choice| choice["token_ids"].as_array().unwrap()).collect();
        assert_eq!(json!(ids), json!(expected.tokens), "{prompt}");
        let text: String = choices().map(|choice| choice["text"].as_str().unwrap()).collect();
        assert_eq!(text, expected.text(engine.vocab()), "{prompt}");
    }
    assert_eq!(server.metric("stir_lost_answers_total").await, 0.0);
    assert!(server.metric("stir_cached_tokens_total").await > 0.0);
    assert!(server.metric("stir_prefix_positions").await <= 40.0);
    server.end().await;
}
