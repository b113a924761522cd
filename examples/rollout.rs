//! Stage 1: the model answers every problem several times. Each answer is judged right or wrong and gets a reward.
//!
//! ```text
//! cargo run --release --example rollout
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use stir::{
    grade::FinalNumber,
    model::{DeviceSpec, Lm},
    rollout::{Prompt, RolloutConfig, Rollouts},
};

/// Questions and right answers. The model gets most of them right in some samples and wrong in others, so that stage 2
/// has something to contrast.
const PROBLEMS: [(&str, &str); 8] = [
    ("Ana has 27 apples. Ana buys 35. Ana sells 8. How many apples now?", "54"),
    ("Ben has 44 cards. Ben loses 17. Ben finds 26. How many cards now?", "53"),
    ("Eva has 38 coins. Eva gets 25. Eva sells 19. How many coins now?", "44"),
    ("Leo has 51 shells. Leo gives away 24. Leo buys 16. How many shells now?", "43"),
    ("Max has 19 pens. Max finds 33. Max loses 25. How many pens now?", "27"),
    ("Mia has 46 stamps. Mia buys 28. Mia gives away 35. How many stamps now?", "39"),
    ("Tom has 33 eggs. Tom sells 14. Tom gets 27. How many eggs now?", "46"),
    ("Zoe has 25 books. Zoe finds 18. Zoe loses 26. How many books now?", "17"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all("runs/examples")?;
    let lm = Lm::load("crates/stir-cli/assets/tiny", &DeviceSpec::CPU.open()?)?;

    // The chat template turns a question into a prompt, which is all that the model sees.
    let mut prompts = Vec::new();
    for (i, (question, gold)) in PROBLEMS.into_iter().enumerate() {
        prompts.push(Prompt { id: format!("p{i}"), prompt: lm.chat_prompt(question)?, gold: Some(gold.to_owned()) });
    }

    // Any function can be the judge. This one compares the number after `####` with the right answer.
    let judge = |prompt: &Prompt, text: &str| prompt.gold.as_ref().is_some_and(|gold| FinalNumber.correct(gold, text));

    // An interrupted run resumes where it stopped. The defaults are those of the paper, 8 samples of up to 2048 tokens;
    // this model's answers are shorter.
    let config = RolloutConfig { samples: 16, max_tokens: 200, ..RolloutConfig::default() };
    let summary = Rollouts::new(&lm, config)?.run(&prompts, &judge, "runs/examples/rollouts.jsonl")?;
    println!("{} samples of {} problems", summary.samples, summary.problems);
    println!("right: {:.3}", summary.accuracy().unwrap_or(0.0));
    println!("problems with both right and wrong samples: {:.3}", summary.mixed_share().unwrap_or(0.0));
    Ok(())
}
