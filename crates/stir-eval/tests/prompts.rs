//! Prompts by chat templates of all kinds, and the text that judges read because of them.

use std::{
    cell::RefCell,
    fs,
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use crate::common::{shared_rows, toy};
use serde_json::Value;
use stir_core::{Finish, toy::ToyEngine};
use stir_eval::{
    Task,
    method::{AnswerRun, MethodContext, Question, Reply},
    questions::{QuestionError, Questions, TaskSource},
};
use stir_grade::{FinalNumber, Grade, Judge, MathJudge};

fn task(folder: &tempfile::TempDir) -> Task {
    let rows = (1..4).map(|n| format!("{{\"question\": \"{n} + {n}?\", \"answer\": \"#### {}\"}}\n", 2 * n));
    fs::write(folder.path().join("test.jsonl"), rows.collect::<String>()).unwrap();
    Task::load("gsm8k", folder.path()).unwrap()
}

fn case(id: &str) -> Value {
    let rows = shared_rows("public_cases/other.jsonl");
    rows.into_iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no case {id}"))
}

#[test]
fn a_template_without_a_system_turn_gets_the_system_message_in_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let (task, refused) = (task(&folder), RefCell::new(0));
    let render = |system: Option<&str>, user: &str| match system {
        Some(_) => {
            *refused.borrow_mut() += 1;
            Err("System role not supported".to_owned())
        }
        None => Ok(format!("<user>{user}<bot>")),
    };
    let asked = Questions::of_task(&task, &render).unwrap();
    assert!(asked.system_in_user);
    assert_eq!(*refused.borrow(), 1, "the model decides, not every problem");
    for (question, problem) in asked.questions.iter().zip(task.problems()) {
        let system = task.prompt(problem).system.unwrap();
        let user = format!("{system}\n\n{}", problem.question);
        assert_eq!((&question.prompt, &question.system), (&format!("<user>{user}<bot>"), &None));
        // Methods that write their own prompts begin with this.
        assert_eq!(question.user, user);
    }
}

#[test]
fn other_templates_get_a_system_turn_and_their_errors_stay() {
    let folder = tempfile::tempdir().unwrap();
    let task = task(&folder);
    let render = |system: Option<&str>, user: &str| Ok::<_, String>(format!("<system>{}<user>{user}", system.unwrap()));
    let asked = Questions::of_task(&task, &render).unwrap();
    assert!(!asked.system_in_user && asked.questions[0].prompt.starts_with("<system>You solve word problems"));
    // One problem that cannot be rendered does not move the system messages of the others.
    let render = |system: Option<&str>, user: &str| match user {
        "2 + 2?" => Err("no twos".to_owned()),
        user => Ok(format!("{system:?}{user}")),
    };
    let error = Questions::of_task(&task, &render).unwrap_err();
    assert!(matches!(&error, QuestionError::Prompt { place, .. } if place.contains("gsm8k/1")), "{error}");
    let error = Questions::of_task(&task, &|_, _| Err::<String, _>("broken".to_owned())).unwrap_err();
    assert!(matches!(&error, QuestionError::Prompt { source, .. } if source == "broken"), "{error}");
}

fn judged(prompt: &str, answer: &str, gold: &str, judge: &dyn Judge) -> bool {
    let question = Question { prompt: prompt.into(), gold: gold.into(), ..Question::default() };
    let reply = Reply { text: answer.into(), finish: Finish::Length, ..Reply::no_room() };
    let record = reply.judged(&question, judge);
    assert_eq!(record.text, answer, "what is on record is what was generated");
    record.judged.correct()
}

#[test]
fn what_was_only_thought_is_no_answer() {
    let (math, number) = (MathJudge::default(), FinalNumber);
    let judges: [(&dyn Judge, &str); 2] = [(&math, "\\boxed{12}"), (&number, "\n#### 12\n")];
    for (judge, answer) in judges {
        let cut_off = format!("Perhaps {answer}, but let me check");
        let told = format!("{cut_off}</think>It is {answer}");
        assert!(!judged("<user>6 + 6?<bot><think>\n", &cut_off, "12", judge), "{answer}");
        assert!(judged("<user>6 + 6?<bot><think>\n", &told, "12", judge), "{answer}");
        // The reasoning is closed, or the question mentions the tag.
        assert!(judged("<user>6 + 6?<bot><think>\n\n</think>\n\n", answer, "12", judge), "{answer}");
        assert!(judged("<user>What is <think>?<bot>", answer, "12", judge), "{answer}");
        // A prompt of the method's own decides, where it has one.
        let question = Question { prompt: "<bot>".into(), gold: "12".into(), ..Question::default() };
        let reply = Reply { text: cut_off, prompt: Some("<bot><think>".into()), ..Reply::no_room() };
        assert!(!reply.judge(&question, judge).correct(), "{answer}");
    }
}

/// Keeps the texts that it is given.
#[derive(Default)]
struct Reader(Mutex<Vec<String>>);

impl Judge for Reader {
    fn extract(&self, text: &str) -> Option<String> {
        self.0.lock().unwrap().push(text.to_owned());
        None
    }

    fn grade(&self, _: &str, _: &str) -> Grade {
        panic!("there is no answer")
    }
}

#[test]
fn votes_are_taken_of_what_is_told() {
    let engine = ToyEngine::new(5).passing_over_unknown();
    for (prompt, is_open) in [("abc<think>\n", true), ("abc", false)] {
        let reader = Arc::new(Reader::default());
        let judges = |_: &Question| -> Arc<dyn Judge> { reader.clone() };
        let render = |_: Option<&str>, user: &str| Ok(user.to_owned());
        let context = MethodContext { engine: &engine, judges: &judges, library: None, render: &render };
        let method = toy::config(r#"{"method": "self_consistency", "samples": 3}"#).build(context).unwrap();
        let questions = [Question { id: "p".into(), prompt: prompt.into(), ..Question::default() }];
        let run = AnswerRun { engine: &engine, questions: &questions, request: toy::request(9, 0), max_batch: 4 };
        run.replies(&*method, |_| false, |_, _| ControlFlow::Continue(())).unwrap();
        let read = reader.0.lock().unwrap();
        assert!(read.len() == 3 && read.iter().all(|text| text.starts_with("<think>") == is_open), "{read:?}");
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn the_case_of_an_answer_that_was_only_thought() {
    let case = case("O5");
    let text = |field: &str| case["input"][field].as_str().unwrap();
    assert!(!judged(text("generation_prompt"), text("answer"), text("gold"), &MathJudge::default()));
    assert!(judged("", text("answer"), text("gold"), &MathJudge::default()), "the prompt makes the difference");
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn the_case_of_a_shard_that_is_missing() {
    let case = case("O7");
    let folder = tempfile::tempdir().unwrap();
    for name in case["input"]["snapshot"].as_array().unwrap() {
        let path = folder.path().join(name.as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let error = Task::load("gsm8k", folder.path()).unwrap_err().to_string();
    for name in case["input"]["missing"].as_array().unwrap() {
        assert!(error.contains(name.as_str().unwrap()), "{error}");
    }
}

#[test]
fn a_part_of_a_tasks_problems_keeps_their_ids_and_judges() {
    let folder = tempfile::tempdir().unwrap();
    let all = task(&folder);
    let part = |skip, limit| {
        let (name, data) = ("gsm8k".into(), Some(folder.path().to_owned()));
        let source = TaskSource { task: name, data, answers: None, ids: None, skip, limit };
        source.open(&|_: Option<&str>, user: &str| Ok::<_, std::convert::Infallible>(user.to_owned()))
    };
    let asked = part(1, Some(1)).unwrap();
    assert_eq!(asked.questions.len(), 1);
    assert_eq!(asked.questions[0].id, all.problems()[1].id);
    assert!(asked.is_right(&asked.prompts()[0], "The answer is \\boxed{4}."));
    assert_eq!(part(2, None).unwrap().questions.len(), 1);
    assert_eq!(part(0, Some(9)).unwrap().questions.len(), 3);
    assert_eq!(part(3, None).unwrap_err().to_string(), "skip is 3, but there are only 3 problems");
}
