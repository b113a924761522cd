//! Published layouts as tasks: in files written here and, where they are asked for, in those of the data sets.

use std::{collections::HashSet, fs, path::Path};

use crate::common::{
    columns::{CHOICES, Column, write_parquet},
    shared,
};
use stir_eval::{
    Task, TaskError,
    task::{Benchmark, CATALOGUE, PromptTemplate},
};
use stir_grade::AnswerForm;

/// The task `name` with one file `file` of this content.
fn load(name: &str, file: &str, content: &str) -> Result<Task, TaskError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), content).unwrap();
    Task::load(name, folder.path())
}

/// Question, options and gold answer of the first problem.
fn first(name: &str, content: &str) -> (String, Vec<String>, String) {
    let task = load(name, "test.jsonl", content).unwrap_or_else(|error| panic!("{name}: {content}: {error}"));
    let problem = task.problems()[0].clone();
    (problem.question, problem.choices, problem.gold)
}

#[test]
fn free_answers_in_all_layouts() {
    for (name, row, question, gold) in [
        ("gsm8k", r#"{"question": "q", "answer": "1 + 1 = <<1+1=2>>2\n#### 1,002"}"#, "q", "1002"),
        ("gsm8k", r#"{"question": " q ", "answer": 18}"#, "q", "18"),
        ("math500", r#"{"problem": "q", "answer": "\\frac{1}{2}", "solution": "\\boxed{3}"}"#, "q", "\\frac{1}{2}"),
        ("math500", r#"{"problem": "q", "solution": "So \\boxed{\\frac{1}{2}}."}"#, "q", "\\frac{1}{2}"),
        ("aime24", r#"{"id": 60, "problem": "q", "answer": "025", "question": "q"}"#, "q", "25"),
        ("aime24", r#"{"ID": "2024-I-1", "Problem": "q", "Solution": "s", "Answer": 25}"#, "q", "25"),
        ("aime24", r#"{"id": 1, "problem": "q", "solution": "\\boxed{025}"}"#, "q", "25"),
        (
            "aime25",
            r#"{"prompt": "q\nPlease reason step by step, and put your final answer within \\boxed{}.", "answer": 70}"#,
            "q",
            "70",
        ),
        ("amc23", r#"{"id": 0, "problem": "q", "answer": 27.0}"#, "q", "27"),
        ("amc23", r#"{"id": 0, "problem": "q", "answer": -1.0}"#, "q", "-1"),
        (
            "svamp",
            r#"{"ID": "x-1", "Body": "Ana has 2. ", "Question": "How many?", "Answer": 2.0}"#,
            "Ana has 2. How many?",
            "2",
        ),
        (
            "svamp",
            r#"{"ID": "x-1", "Body": "b", "Question": "c", "question_concat": "b c", "Answer": "2.5"}"#,
            "b c",
            "2.5",
        ),
        ("strategyqa", r#"{"qid": "a", "question": "q", "answer": true}"#, "q", "yes"),
        ("strategyqa", r#"{"qid": "a", "question": "q", "answer": "No"}"#, "q", "no"),
    ] {
        assert_eq!(first(name, row), (question.into(), vec![], gold.into()), "{name}: {row}");
    }
}

#[test]
fn multiple_choice_in_all_layouts() {
    let options = ["w", "x", "y", "z"];
    for (name, row, count, gold) in [
        (
            "arc_challenge",
            r#"{"id": "a", "question": "q", "choices": {"text": ["w", "x", "y", "z"], "label": ["A", "B", "C", "D"]}, "answerKey": "C"}"#,
            4,
            "C",
        ),
        (
            "arc_challenge",
            r#"{"id": "a", "question": "q", "choices": {"text": ["w", "x", "y", "z"], "label": ["1", "2", "3", "4"]}, "answerKey": "3"}"#,
            4,
            "C",
        ),
        (
            "arc_challenge",
            r#"{"id": "a", "question": {"stem": "q", "choices": [{"text": "w", "label": "A"}, {"text": "x", "label": "B"}, {"text": "y", "label": "C"}]}, "answerKey": "B"}"#,
            3,
            "B",
        ),
        (
            "openbookqa",
            r#"{"id": "a", "question_stem": "q", "choices": {"text": ["w", "x", "y", "z"], "label": ["A", "B", "C", "D"]}, "answerKey": "D", "fact1": "f"}"#,
            4,
            "D",
        ),
        ("openbookqa", r#"{"query": "q", "choices": ["w", "x", "y", "z"], "gold": 0}"#, 4, "A"),
        (
            "commonsenseqa",
            r#"{"id": "a", "question": "q", "question_concept": "c", "choices": {"label": ["A", "B", "C"], "text": ["w", "x", "y"]}, "answerKey": "A"}"#,
            3,
            "A",
        ),
        ("commonsenseqa", r#"{"question": "q", "options": ["w", "x"], "answer": "x"}"#, 2, "B"),
        ("commonsenseqa", r#"{"question": "q", "options": ["w", "x"], "answer": "B"}"#, 2, "B"),
    ] {
        assert_eq!(
            first(name, row),
            ("q".into(), options[..count].iter().map(|&o| o.into()).collect(), gold.into()),
            "{row}"
        );
    }
}

#[test]
fn five_options_and_prompts() {
    let row = r#"{"id": "a", "question": "Which?", "choices": {"text": ["v", "w", "x", "y", "z"], "label": ["A", "B", "C", "D", "E"]}, "answerKey": "E"}"#;
    let task = load("arc_challenge", "x.jsonl", row).unwrap();
    let prompt = task.prompt(&task.problems()[0]);
    assert_eq!(prompt.user, "Which?\n\nA. v\nB. w\nC. x\nD. y\nE. z");
    assert!(prompt.system.unwrap().contains("Answer: X"));
    assert!(task.judge(&task.problems()[0], "Clearly z.\n\nAnswer: E").correct());
    assert!(task.judge(&task.problems()[0], "The answer is z.").correct());
}

#[test]
fn elicited_answers_are_found() {
    for (name, row, answer) in [
        ("gsm8k", r#"{"question": "q", "answer": 73}"#, "73"),
        ("math500", r#"{"problem": "q", "answer": "\\frac{1}{2}"}"#, "\\frac{1}{2}"),
        ("arc_challenge", r#"{"question": "q", "options": ["w", "x"], "answer": "B"}"#, "B"),
        ("strategyqa", r#"{"question": "q", "answer": false}"#, "no"),
    ] {
        let task = load(name, "test.jsonl", row).unwrap();
        for reasoning in ["First I think that", "The answer is 1. Wait,", "Okay.\n</think>"] {
            let text = [reasoning, task.answer_prefix(), answer, task.answer_suffix()].concat();
            assert!(task.judge(&task.problems()[0], &text).correct(), "{text:?}");
        }
    }
}

#[test]
fn parquet_in_the_layouts_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let (main, other) = (folder.path().join("ARC-Challenge"), folder.path().join("ARC-Easy"));
    fs::create_dir(&main).unwrap();
    fs::create_dir(&other).unwrap();
    let shard = |path: &Path, ids: &[&str]| {
        let columns = [
            Column::Texts(ids),
            Column::Texts(&["q", "r"]),
            Column::Lists(&[&["w", "x", "y"], &["v", "w", "x", "y", "z"]]),
            Column::Lists(&[&["A", "B", "C"], &["1", "2", "3", "4", "5"]]),
            Column::Texts(&["C", "5"]),
        ];
        write_parquet(path, CHOICES, &columns);
    };
    shard(&main.join("test-00000-of-00002.parquet"), &["a", "b"]);
    shard(&main.join("test-00001-of-00002.parquet"), &["c", "d"]);
    shard(&main.join("train-00000-of-00001.parquet"), &["e", "f"]);
    shard(&other.join("test-00000-of-00001.parquet"), &["g", "h"]);
    let task = Task::load("arc_challenge", folder.path()).unwrap();
    let ids: Vec<&str> = task.problems().iter().map(|problem| problem.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c", "d"]);
    assert_eq!((task.problems()[1].choices.len(), task.problems()[3].gold.as_str()), (5, "E"));
    let train = Task::load("arc_challenge", main.join("train-00000-of-00001.parquet")).unwrap();
    assert_eq!(train.problems()[0].id, "e");
}

#[test]
fn parquet_of_numbers_texts_and_truth_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test-00000-of-00001.parquet");
    let schema = "message schema { optional int64 id; optional binary question (UTF8); optional double answer; }";
    write_parquet(
        &path,
        schema,
        &[Column::Integers(&[0, 1]), Column::Texts(&["q", "r"]), Column::Floats(&[27.0, -0.5])],
    );
    let task = Task::load("amc23", folder.path()).unwrap();
    assert_eq!((task.problems()[0].id.as_str(), task.problems()[0].gold.as_str()), ("0", "27"));
    assert_eq!(task.problems()[1].gold, "-0.5");

    let schema =
        "message schema { optional binary qid (UTF8); optional binary question (UTF8); optional boolean answer; }";
    write_parquet(&path, schema, &[Column::Texts(&["x"]), Column::Texts(&["q"]), Column::Truths(&[false])]);
    assert_eq!(Task::load("strategyqa", folder.path()).unwrap().problems()[0].gold, "no");

    let schema = "message schema { optional binary question (UTF8); optional binary answer (UTF8); }";
    write_parquet(&path, schema, &[Column::Texts(&["q"]), Column::Texts(&["1 + 1\n#### 2"])]);
    let task = Task::load("gsm8k", folder.path()).unwrap();
    assert_eq!((task.problems()[0].id.as_str(), task.problems()[0].gold.as_str()), ("gsm8k/0", "2"));
}

#[test]
fn arrays_of_json_and_marks_of_byte_order() {
    let rows = "\u{feff} [{\"qid\": \"a\", \"question\": \"q\", \"answer\": true},\n {\"qid\": \"b\", \"question\": \"r\", \"answer\": false}]";
    let task = load("strategyqa", "test.json", rows).unwrap();
    assert_eq!(task.problems()[1].gold, "no");
    let lines = "\u{feff}{\"question\": \"q\", \"answer\": 1}\r\n\r\n{\"question\": \"r\", \"answer\": 2}\r\n";
    assert_eq!(load("gsm8k", "test.jsonl", lines).unwrap().problems().len(), 2);
}

#[test]
fn errors_say_where_and_what() {
    let two =
        |row: &str| load("gsm8k", "test.jsonl", &format!("{{\"question\": \"q\", \"answer\": 1}}\n{row}")).unwrap_err();
    for (row, message) in [
        ("{\"question\": \"q\"}", "row 2 has no answer"),
        ("{\"answer\": 1}", "row 2 has no question"),
        ("{\"question\": 5, \"answer\": 1}", "row 2: question is 5, must be a text"),
        ("{\"question\": \" \", \"answer\": 1}", "row 2: question is \" \", must be a question"),
        ("{\"question\": \"q\", \"answer\": [1]}", "row 2: answer is [1], must be a text"),
        ("{\"question\": \"q\", \"answer\": \"\"}", "row 2: answer is \"\", must be an answer"),
        ("{\"question\": \"q\", \"answer\": NaN}", "line 2"),
        ("{\"question\": \"q\"", "line 2"),
        ("7", "row 2 is no object"),
        ("{\"id\": \"gsm8k/0\", \"question\": \"q\", \"answer\": 1}", "row 2 repeats the id \"gsm8k/0\" of row 1"),
        ("{\"id\": [1], \"question\": \"q\", \"answer\": 1}", "row 2: id is [1]"),
    ] {
        let told = two(row).to_string();
        assert!(told.contains("test.jsonl") && told.contains(message), "{told}");
    }
    let choice = |row: &str| load("arc_challenge", "test.jsonl", row).unwrap_err().to_string();
    for (row, message) in [
        (
            r#"{"question": "q", "choices": ["x", "y"], "answerKey": "C"}"#,
            "answerKey is \"C\", must be one of the options",
        ),
        (r#"{"question": "q", "choices": ["x", "y"], "answerKey": ""}"#, "must be one of the options"),
        (r#"{"question": "q", "choices": ["x", "y"], "gold": 2}"#, "gold is 2, must be one of the options"),
        (r#"{"question": "q", "choices": ["x"], "answerKey": "A"}"#, "choices is [\"x\"], must be a list of 2 to 26"),
        (r#"{"question": "q", "choices": {"text": ["x", "y"], "label": ["A"]}, "answerKey": "A"}"#, "must be a list"),
        (
            r#"{"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "A"]}, "answerKey": "A"}"#,
            "must be a list",
        ),
        (r#"{"question": "q", "answerKey": "A"}"#, "one of the options"),
    ] {
        let told = choice(row);
        assert!(told.contains(message), "{told}");
    }
    assert!(
        load("strategyqa", "a.jsonl", r#"{"question": "q", "answer": "perhaps"}"#)
            .unwrap_err()
            .to_string()
            .contains("perhaps")
    );
    assert!(matches!(load("gsm8k", "test.jsonl", " \n"), Err(TaskError::Empty { .. })));
    assert!(matches!(load("gsm8k", "test.json", "[]"), Err(TaskError::Empty { .. })));
    assert!(matches!(load("gsm8k", "test.json", "[1"), Err(TaskError::Json { .. })));
    assert!(matches!(load("gsm8k", "test.parquet", "PAR1 and no more"), Err(TaskError::Parquet { .. })));
    assert!(matches!(load("gsm9k", "test.jsonl", ""), Err(TaskError::Unknown { .. })));
    assert!(matches!(Task::load("gsm8k", "/no/such/place"), Err(TaskError::Io { .. })));
    let long = format!("{{\"question\": \"q\", \"answer\": [\"{}\"]}}", "é".repeat(100_000));
    assert!(two(&long).to_string().len() < 1000);
}

#[test]
fn half_a_character_costs_no_problem() {
    let row = r#"{"question": "cut \ud83d here", "answer": "1"}"#;
    for (file, content) in [("test.jsonl", format!("{row}\n")), ("test.json", format!("\u{feff}[{row}]"))] {
        let task = load("gsm8k", file, &content).unwrap();
        assert_eq!(task.problems()[0].question, "cut \u{fffd} here", "{file}");
    }
}

#[test]
fn tasks_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let form = |content: &str| Task::custom(put("x.jsonl", content), None).unwrap().form();
    assert_eq!(form(r#"{"question": "q", "gold": "7"}"#), AnswerForm::Number);
    assert_eq!(form(r#"{"question": "q", "gold": "x + 1"}"#), AnswerForm::Math);
    assert_eq!(form(r#"{"question": "q", "gold": "yes"}"#), AnswerForm::YesNo);
    assert_eq!(form(r#"{"question": "q", "gold": "A", "choices": ["x", "y"]}"#), AnswerForm::Choice);
    let raw = Task::custom(put("x.jsonl", r#"{"id": "p1", "prompt": "Q: 2+2?\nA:", "gold": "4"}"#), None).unwrap();
    let prompt = raw.prompt(&raw.problems()[0]);
    assert!(prompt.is_raw && prompt.system.is_none());
    assert_eq!(prompt.user, "Q: 2+2?\nA:");
    assert!(raw.judge(&raw.problems()[0], "2 + 2 = 4\n#### 4").correct());

    put("data.jsonl", r#"{"question": "2+2?", "gold": "4"}"#);
    let description = put(
        "sums.toml",
        "data = 'data.jsonl'\nanswer = 'math'\nsystem = 'Be brief.'\nuser = '{question} End with \\boxed{}.'",
    );
    let task = Task::open(description.to_str().unwrap(), None).unwrap();
    assert_eq!((task.name(), task.form()), ("sums", AnswerForm::Math));
    let prompt = task.prompt(&task.problems()[0]);
    assert_eq!((prompt.system.as_deref(), prompt.user.as_str()), (Some("Be brief."), "2+2? End with \\boxed{}."));

    let bad = |text: &str| Task::custom(put("bad.toml", text), None).unwrap_err();
    assert!(matches!(bad("data = 'data.jsonl'\nprompt = 'x'"), TaskError::Description { .. }));
    assert!(matches!(bad("data = 'data.jsonl'\nanswer = 'poem'"), TaskError::Description { .. }));
    assert!(matches!(bad("data = 'data.jsonl'\nuser = 'no question'"), TaskError::Template { .. }));
    assert!(matches!(bad("data = 'none.jsonl'"), TaskError::Io { .. }));
    assert!(matches!(Task::custom(put("x.csv", ""), None), Err(TaskError::Extension { .. })));
    assert!(matches!(Task::open("gsm8k", None), Err(TaskError::NoData { .. })));
    assert!(matches!(Task::open("poems", None), Err(TaskError::Unknown { .. })));
    assert!(Task::open("gsm8k", Some(&folder.path().join("data.jsonl"))).is_ok());
}

#[test]
fn a_judge_and_a_template_of_ones_own() {
    let task = load("gsm8k", "test.jsonl", r#"{"question": "q", "answer": 1}"#).unwrap();
    assert!(task.judge(&task.problems()[0], "\\boxed{1}").correct());
    let own = task
        .with_judge(std::sync::Arc::new(stir_grade::FinalNumber))
        .with_template(PromptTemplate::new(None, "{question}!").unwrap());
    assert!(!own.judge(&own.problems()[0], "\\boxed{1}").correct());
    assert!(own.judge(&own.problems()[0], "#### 1").correct());
    assert_eq!(own.prompt(&own.problems()[0]).user, "q!");
}

#[test]
fn names_of_the_catalogue_are_different() {
    let names: HashSet<&str> = CATALOGUE.iter().map(|benchmark| benchmark.name).collect();
    assert_eq!(names.len(), CATALOGUE.len());
    for benchmark in CATALOGUE {
        assert_eq!(Benchmark::find(benchmark.name), Some(&benchmark));
        assert_eq!(Benchmark::find(benchmark.title), Some(&benchmark));
        assert!(benchmark.pattern.contains("{split}") && benchmark.pattern.starts_with(benchmark.config));
    }
}

#[test]
#[ignore = "needs the folder of shared data in STIR_SHARED_DATA"]
fn data_sets_load_from_their_folders_and_files() {
    let count = |name: &str, path: &str| {
        let task = Task::load(name, shared(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        for problem in task.problems() {
            assert!(task.prompt(problem).user.contains(problem.question.as_str()));
            // The gold answer is one that the judge can read and finds equal to itself.
            let text = [task.answer_prefix(), &problem.gold, task.answer_suffix()].concat();
            assert!(task.judge(problem, &text).correct(), "{path}: {problem:?}");
        }
        task.problems().len()
    };
    for (name, path, expected) in [
        ("math500", "math500", 500),
        ("gsm8k", "gsm8k", 1319),
        ("aime24", "aime24", 30),
        ("aime25", "aime25", 30),
        ("amc23", "amc23", 40),
        ("arc_challenge", "arc_challenge/validation.jsonl", 299),
        ("openbookqa", "openbookqa/validation.jsonl", 500),
    ] {
        assert_eq!(count(name, path), expected, "{path}");
    }
}
