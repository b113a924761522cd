//! Steered answers, and libraries that come and go while the server runs.

use std::time::Duration;

use crate::common::{bytes, library, piece, plain, read, serve, serve_with};
use futures_util::StreamExt;
use serde_json::{Value, json};
use stir_basis::Library;
use stir_controller::{Controller, ControllerConfig, Steered, Strength, Variant};
use stir_core::{
    Engine, GenerateOptions, Request, Sampling, Text,
    toy::{ToyEngine, Watched},
};
use stir_serve::ServeConfig;

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

fn steered(engine: &ToyEngine, library: &Library, config: ControllerConfig, prompt: &str) -> Vec<Steered> {
    let controller = Controller::new(library.clone(), engine.fingerprint(), config).unwrap();
    let sampling = Sampling { temperature: 2.0, ..Sampling::GREEDY };
    let prompt = engine.encode(prompt).unwrap();
    let request = Request { max_tokens: 60, sampling, samples: 2, seed: 5, ..Request::new(prompt) };
    controller.generate(engine, &[request], GenerateOptions::default()).unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_and_decisions_are_those_of_the_controller() {
    let engine = ToyEngine::without_eos(1);
    let library = library(&engine, 1);
    let server = serve_with(engine.clone(), ServeConfig::default(), &[("math", library.clone())]).await;
    let (mut acted, default) = (0, ControllerConfig::default);
    for (stir, config) in [
        (json!({ "library": "math" }), default()),
        (json!({ "library": "math", "k_scale": 0.3 }), ControllerConfig { k_scale: 0.3, ..default() }),
        (
            json!({ "library": "math", "strength": "relative:0.4" }),
            ControllerConfig { strength: Strength::Relative(0.4), ..default() },
        ),
        (
            json!({ "library": "math", "strength": { "clipped": 0.2 }, "min_m": 2 }),
            ControllerConfig { strength: Strength::Clipped(0.2), min_m: Some(2), ..default() },
        ),
        (
            json!({ "library": "math", "variant": "no_probing" }),
            ControllerConfig { variant: Variant::NoProbing, ..default() },
        ),
        (
            json!({ "library": "math", "variant": "no_memory" }),
            ControllerConfig { variant: Variant::NoMemory, ..default() },
        ),
    ] {
        let expected = steered(&engine, &library, config, "abc\n");
        acted += expected.iter().flat_map(|answer| &answer.steps).filter(|step| step.steered()).count();
        let body = json!({ "messages": [{ "role": "user", "content": "abc" }], "max_tokens": 60, "temperature": 2.0,
            "n": 2, "seed": 5, "stir": stir });
        let (status, whole) = server.post(CHAT, body.clone()).await;
        assert_eq!(status, 200, "{whole}");
        let chunks = server.stream(CHAT, body).await;
        for (i, expected) in expected.iter().enumerate() {
            let text = expected.text(engine.vocab());
            let choice = &whole["choices"][i];
            assert_eq!(choice["message"]["content"], text);
            let decisions =
                json!({ "library": "math", "steps": expected.steps, "probe_tokens": expected.probe_tokens });
            assert_eq!(choice["stir"], decisions);

            let of_choice = || chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == i);
            let pieces: String = of_choice().map(|choice| choice["delta"]["content"].as_str().unwrap()).collect();
            assert_eq!(pieces, text);
            assert_eq!(of_choice().next_back().unwrap()["stir"], decisions);
            // Every piece is marked with its segment, and every control point is told where it lies.
            let mut told = Vec::new();
            for mark in of_choice().map(|choice| &choice["stir"]).filter(|mark| mark["segment"].is_u64()) {
                let step = expected.steps.iter().find(|step| mark["segment"] == step.segment).unwrap();
                assert_eq!(mark["steered"], step.steered());
                if let Some(step) = mark.get("step") {
                    told.push((step["segment"].clone(), step["candidates"].clone(), step["retrieved"].clone()));
                }
            }
            let decided = expected.steps.iter().skip(1);
            let decided: Vec<(Value, Value, Value)> =
                decided.map(|step| (json!(step.segment), json!(step.candidates), json!(step.retrieved))).collect();
            assert_eq!(told, decided);
        }
    }
    assert!(acted > 5, "{acted}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_are_uploaded_listed_replaced_and_deleted() {
    let engine = ToyEngine::without_eos(1).stored_as("BF16");
    let server = serve(engine.clone(), ServeConfig { max_libraries: 2, ..ServeConfig::default() }).await;
    let put = async |name: &str, bytes: Vec<u8>| {
        read(server.client.put(server.at(&format!("/v1/libraries/{name}"))).body(bytes).send().await.unwrap()).await
    };
    let list = async || -> Value { serde_json::from_str(&server.get("/v1/libraries").await.1).unwrap() };
    assert_eq!(list().await, json!({ "object": "list", "data": [] }));

    let (status, described) = put("a.1_b-C", bytes(&library(&engine, 1))).await;
    assert_eq!(status, 201, "{described}");
    assert_eq!(
        (&described["id"], &described["entries"], &described["layers"]),
        (&json!("a.1_b-C"), &json!(84), &json!([1]))
    );
    assert_eq!(put("a.1_b-C", bytes(&library(&engine, 2))).await.0, 200);
    assert_eq!(put("two", bytes(&library(&engine, 2))).await.0, 201);
    assert_eq!(list().await["data"].as_array().unwrap().len(), 2);
    assert_eq!(server.get("/v1/libraries/two").await.0, 200);
    let (status, error) = put("three", bytes(&library(&engine, 2))).await;
    assert_eq!(status, 409);
    assert!(error["error"]["message"].as_str().unwrap().contains("holds 2 libraries"), "{error}");

    let mut damaged = bytes(&library(&engine, 1));
    *damaged.last_mut().unwrap() ^= 1;
    let other = library(&ToyEngine::without_eos(9).stored_as("BF16"), 1);
    let requantised = library(&ToyEngine::without_eos(1).stored_as("Q4_K"), 1);
    for (name, bytes, says) in [
        ("two", bytes(&other), "made for another model: weights is \"BF16:0000000000000009\" there"),
        ("two", bytes(&requantised), "weights are Q4_K there and BF16 in the model at hand"),
        ("two", damaged, "checksum"),
        ("two", b"STIRLIBR".to_vec(), "bytes long"),
        ("two", Vec::new(), "expected a library file"),
        ("..", bytes(&library(&engine, 1)), "/"),
        ("..%2Fpasswd", bytes(&library(&engine, 1)), "1 to 64 of the characters"),
        ("%00", bytes(&library(&engine, 1)), "1 to 64 of the characters"),
        ("x%20y", bytes(&library(&engine, 1)), "1 to 64 of the characters"),
    ] {
        let (status, error) = put(name, bytes).await;
        // `..` is resolved by the client.
        let expected = if name == ".." { 404 } else { 400 };
        assert_eq!(status, expected, "{name} {error}");
        if name != ".." {
            assert!(error["error"]["message"].as_str().unwrap().contains(says), "{name} {error}");
        }
    }
    let delete = async |name: &str| {
        read(server.client.delete(server.at(&format!("/v1/libraries/{name}"))).send().await.unwrap()).await
    };
    assert_eq!(delete("two").await, (200, json!({ "id": "two", "object": "library", "deleted": true })));
    assert_eq!(delete("two").await.1["error"]["code"], "library_not_found");
    assert_eq!(put("three", bytes(&library(&engine, 2))).await.0, 201);
    server.end().await;

    let server = serve(engine.clone(), ServeConfig { library_limit: 10, ..ServeConfig::default() }).await;
    let sent = server.client.put(server.at("/v1/libraries/a")).body(bytes(&library(&engine, 1))).send();
    // A client may see that nobody reads any more before it sees the answer.
    if let Ok(response) = sent.await {
        assert_eq!(response.status(), 413);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_answer_keeps_the_library_it_began_with() {
    let engine = ToyEngine::without_eos(1);
    let (first, second) = (library(&engine, 1), library(&engine, 2));
    let slow = Watched::new(engine.clone(), |_, _| std::thread::sleep(Duration::from_millis(4)));
    let server = serve_with(slow, ServeConfig::default(), &[("it", first.clone())]).await;
    let body = json!({ "prompt": "abc\n", "max_tokens": 60, "temperature": 2.0, "n": 2, "seed": 5,
        "stir": { "library": "it" } });
    let [before, after] =
        [&first, &second].map(|library| steered(&engine, library, ControllerConfig::default(), "abc\n"));
    assert_ne!(before[0].generated.tokens, after[0].generated.tokens);
    let text = |answers: &[Steered], i: usize| answers[i].text(engine.vocab());

    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    let mut pieces = server.request(TEXT, &streamed).send().await.unwrap().bytes_stream();
    let mut told = piece(&mut pieces).await;
    let put = server.client.put(server.at("/v1/libraries/it")).body(bytes(&second)).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let (_, replaced) = server.post(TEXT, body.clone()).await;
    let deleted = server.client.delete(server.at("/v1/libraries/it")).send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    while let Some(piece) = pieces.next().await {
        told += &String::from_utf8_lossy(&piece.unwrap());
    }
    let chunks: Vec<Value> =
        crate::common::data(&told).iter().filter_map(|chunk| serde_json::from_str(chunk).ok()).collect();
    for i in 0..2 {
        let of_choice = chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == i);
        assert_eq!(of_choice.map(|choice| choice["text"].as_str().unwrap()).collect::<String>(), text(&before, i));
        assert_eq!(replaced["choices"][i]["text"], text(&after, i));
    }
    assert_eq!(server.post(TEXT, body).await.0, 404);
    // Plain answers go on beside all that.
    let greedy = Request { max_tokens: 20, sampling: Sampling::GREEDY, ..Request::new(engine.encode("abc").unwrap()) };
    let (_, answer) = server.post(TEXT, json!({ "prompt": "abc", "max_tokens": 20, "stir": null })).await;
    assert_eq!(answer["choices"][0]["text"], plain(&engine, &greedy)[0].text(engine.vocab()));
    server.end().await;
}
