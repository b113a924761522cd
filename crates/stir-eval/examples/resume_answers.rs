//! Answers on the toy engine that can be killed at any time: start it again and it adds what is missing. The script
//! `tests/kill/run` does so.
//!
//! ```text
//! resume_answers OUT [MICROSECONDS PER ANSWER]
//! ```

#![allow(clippy::print_stdout, reason = "a program")]

use std::{env, error::Error, ops::ControlFlow, sync::Arc, thread, time::Duration};

use stir_core::{Request, Sampling, toy::ToyEngine};
use stir_eval::{
    answers,
    method::{AnswerRun, MethodConfig, MethodContext, Question},
};
use stir_grade::{Judge, NumberJudge};
use stir_report::Record;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let Some(out) = args.next().filter(|arg| !arg.starts_with("--")) else {
        println!("usage: resume_answers OUT [MICROSECONDS PER ANSWER]");
        return Ok(());
    };
    let pause = Duration::from_micros(args.next().map_or(Ok(0), |pause| pause.parse())?);

    let engine = ToyEngine::new(1).on_device("cpu");
    let questions: Vec<Question> = (0..60)
        .map(|n| Question {
            id: format!("p{n}"),
            prompt: "abcdefghijkl"[n % 12..].into(),
            system: None,
            user: String::new(),
            gold: "7".into(),
            form: None,
        })
        .collect();
    let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
    let request = Request { max_tokens: 40, sampling, ..Request::default() };
    let run = AnswerRun { engine: &engine, questions: &questions, request, max_batch: 8 };
    let config = MethodConfig::Plain {};
    let settings = run.settings(&config, None)?;

    let ids: Vec<&str> = questions.iter().map(|question| question.id.as_str()).collect();
    let mut log = answers::open(out.as_ref(), &settings, &ids, |record: &Record| record.id.clone())?;
    let there: Vec<bool> = (0..ids.len()).map(|place| log.contains(place)).collect();
    let judge = Arc::new(NumberJudge::default());
    let judges = |_: &Question| -> Arc<dyn Judge> { judge.clone() };
    let render = |_: Option<&str>, user: &str| Ok(user.to_owned());
    let method = config.build(MethodContext { engine: &engine, judges: &judges, library: None, render: &render })?;
    // Without the times, which no second run would have again.
    let mut kept = Ok(());
    run.replies(
        &*method,
        |place| there[place],
        |place, reply| {
            thread::sleep(pause);
            kept = log.push(&reply.judged(&questions[place], &*judge));
            if kept.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        },
    )?;
    kept?;
    println!("{} answers", log.finish()?.count());
    Ok(())
}
