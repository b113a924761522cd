//! The server as a process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

use serde_json::{Value, json};

use crate::{Folder, command, records, reference, refuse, succeed};

/// Returns status and body of the answer to a request.
fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer secret");
    let length = body.len();
    write!(stream, "{head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A server, which ends with its test at the latest.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server; returns it with its address and the lines that it writes from then on.
fn start(args: &str) -> (Running, String, JoinHandle<Vec<String>>) {
    let mut server = command("serve", &format!("{args} --port 0")).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.find_map(|line| line.strip_prefix("listening at http://").map(str::to_owned)).unwrap();
    // What follows is read on, so that the server can write it.
    (Running(server), address, std::thread::spawn(move || lines.collect()))
}

#[test]
#[cfg(unix)]
fn what_is_served_is_what_steer_generates_and_a_signal_ends_it() {
    let folder = Folder::new();
    let (_, library, _) = folder.stages(1);
    let question = "Sam has 16 apples. Sam sells 14. Sam buys 35. How many apples now?";
    let prompts = folder.write("q.jsonl", json!({"id": "q", "question": question}).to_string());
    let (model, out) = (reference("model"), folder.path("o.jsonl"));
    succeed("steer", &format!("--model {model} --library {library} --prompts {prompts} --out {out} --max-tokens 200"));
    let steered = &records(&out)[0];

    let (mut server, address, rest) =
        start(&format!("--model {model} --library it={library} --api-key secret --name small"));

    let messages = json!([{ "role": "user", "content": question }]);
    let body = json!({ "model": "small", "messages": messages, "max_tokens": 200, "temperature": 0,
        "stir": { "library": "it" } });
    let (status, answer) = ask(&address, "POST", "/v1/chat/completions", &body.to_string());
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], steered["text"]);
    let chosen =
        |steps: &Value| -> Vec<Value> { steps.as_array().unwrap().iter().map(|step| step["chosen"].clone()).collect() };
    assert_eq!(chosen(&choice["stir"]["steps"]), chosen(&steered["steps"]));
    assert!(ask(&address, "GET", "/v1/libraries", "").1.contains("\"it\""));

    assert!(Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap().success());
    assert!(server.0.wait().unwrap().success());
    assert!(rest.join().unwrap().iter().any(|line| line.contains("answers in progress are finished")));
}

#[test]
#[cfg(feature = "remote")]
fn rollouts_come_from_a_server_of_our_own() {
    let folder = Folder::new();
    let (_, _, task) = folder.stages(6);
    let model = reference("model");
    let (_server, address, _) = start(&format!("--model {model} --api-key secret --name small"));
    // Greedy, since the server draws with other random numbers.
    let common = format!("--model {model} --task {task} --samples 2 --max-tokens 80 --temperature 0");
    let (here, there) = (folder.path("here.jsonl"), folder.path("there.jsonl"));
    succeed("rollout", &format!("{common} --out {here}"));
    let remote = format!("{common} --server http://{address} --server-model small --server-key STIR_TEST_KEY");
    let asked = command("rollout", &format!("{remote} --out {there}")).env("STIR_TEST_KEY", "secret").output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    let keyed = |path: &str| {
        let of = |mut rollout: Value| {
            let ended = rollout["token_ids"].clone();
            ((rollout["id"].take().to_string(), rollout["k"].to_string()), (ended, rollout["reward"].take()))
        };
        records(path).into_iter().map(of).collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(keyed(&there), keyed(&here));
    let refused = command("rollout", &format!("{remote} --out {there}.2")).env("STIR_TEST_KEY", "wrong").output();
    let refused = refused.unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"), "{refused:?}");
}

#[test]
fn serve_refuses_before_it_listens() {
    let model = reference("model");
    refuse("serve", &format!("--model {model} --max-batch 0"), &["max_batch is 0"]);
    refuse("serve", &format!("--model {model} --k-scale -1"), &["k_scale is -1"]);
    refuse("serve", &format!("--model {model} --library it=missing.stir"), &["missing.stir"]);
    let twice = format!("--model {model} --library it=a.stir --library it=b.stir");
    refuse("serve", &twice, &["names two files \"it\""]);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    refuse("serve", &format!("--model {model} --port {port}"), &["cannot listen at 127.0.0.1"]);
}
