//! Compares methods on problems that were not mined: answers, judgements, and a table with intervals and paired tests.
//!
//! ```text
//! cargo run --release --example evaluate   # after the examples rollout, induce and basis
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::Path, sync::Arc};

use stir::{
    basis::Library,
    core::{Request, Sampling},
    eval::{
        answers,
        method::{AnswerRun, MethodConfig, MethodContext, Question},
        word_problems::{Split, WordProblem},
    },
    grade::{FinalNumber, Judge},
    model::{DeviceSpec, Lm, Message},
    report::{Comparison, Record, Run, Settings},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;
    let library = Arc::new(Library::load("runs/examples/library.stir")?);

    let mut questions = Vec::new();
    for (i, problem) in WordProblem::draw_many(60, 1, Split::HeldOut, &[]).into_iter().enumerate() {
        let (id, prompt, gold) = (format!("q{i}"), lm.chat_prompt(&problem.question)?, problem.answer.to_string());
        questions.push(Question { id, prompt, user: problem.question, gold, ..Question::default() });
    }
    let ids: Vec<&str> = questions.iter().map(|question| question.id.as_str()).collect();
    let request = Request { max_tokens: 200, sampling: Sampling::GREEDY, ..Request::default() };
    let run = AnswerRun { engine: &lm, questions: &questions, request, max_batch: 16 };

    // A method may need more than the model: a library to steer with, judges to count votes, a way to render prompts.
    let judges = |_: &Question| -> Arc<dyn Judge> { Arc::new(FinalNumber) };
    let render = |_: Option<&str>, user: &str| lm.chat_template()?.render(&[Message::user(user)]);
    let context = MethodContext { engine: &lm, judges: &judges, library: Some(&library), render: &render };

    let (mut runs, digest) = (Vec::new(), blake3::hash(&fs::read("runs/examples/library.stir")?).to_string());
    for name in ["plain", "stir", "no_probing", "random_vector", "self_consistency"] {
        let config = MethodConfig::named(name).ok_or("there is no such method")?;
        // Answers of an earlier run are kept if its settings were the same, and refused otherwise.
        let settings = run.settings(&config, Some(&digest))?;
        let path = format!("runs/examples/answers.{name}.jsonl");
        let answers = answers::open(Path::new(&path), &settings, &ids, |record: &Record| record.id.clone())?;
        let records = run.run(&*config.build(context)?, &judges, answers, |_| ControlFlow::Continue(()))?;
        let records = records.unwrap_or_default();
        let seconds = records.iter().filter_map(|record| record.seconds).fold(0.0, f64::max);
        let (model, task, method) = ("tiny".to_owned(), "stories".to_owned(), name.to_owned());
        let settings = Settings { model, task, method, mined_from: None, seed: 0, params: BTreeMap::new() };
        runs.push(Run { settings, records, seconds });
    }
    let (plain, others) = runs.split_first().ok_or("nothing was run")?;
    println!("{}", Comparison::new(plain, others)?);
    Ok(())
}
