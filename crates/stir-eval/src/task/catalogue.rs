use super::AnswerForm;

/// A built-in benchmark: everything needed to load it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Benchmark {
    /// The name in programs and files.
    pub name: &'static str,
    /// The title for people.
    pub title: &'static str,
    /// The form of its answers.
    pub form: AnswerForm,
    /// The repository on the Hugging Face hub.
    pub repo: &'static str,
    /// The subfolder of the repository with its files; empty for none.
    pub config: &'static str,
    /// The split that results are reported on.
    pub split: &'static str,
    /// The files of a split in the repository, as a pattern with `{split}`.
    pub pattern: &'static str,
}

/// The built-in benchmarks, in the order of the documentation.
pub const CATALOGUE: [Benchmark; 10] = [
    Benchmark {
        name: "math500",
        title: "MATH-500",
        form: AnswerForm::Math,
        repo: "HuggingFaceH4/MATH-500",
        config: "",
        split: "test",
        pattern: "{split}.jsonl",
    },
    Benchmark {
        name: "gsm8k",
        title: "GSM8K",
        form: AnswerForm::Number,
        repo: "openai/gsm8k",
        config: "main",
        split: "test",
        pattern: "main/{split}-*.parquet",
    },
    Benchmark {
        name: "aime24",
        title: "AIME 2024",
        form: AnswerForm::Math,
        repo: "HuggingFaceH4/aime_2024",
        config: "",
        split: "train",
        pattern: "data/{split}-*.parquet",
    },
    Benchmark {
        name: "aime25",
        title: "AIME 2025",
        form: AnswerForm::Math,
        repo: "math-ai/aime25",
        config: "",
        split: "test",
        pattern: "{split}.jsonl",
    },
    Benchmark {
        name: "amc23",
        title: "AMC 2023",
        form: AnswerForm::Math,
        repo: "math-ai/amc23",
        config: "",
        split: "test",
        pattern: "*{split}-*.parquet",
    },
    Benchmark {
        name: "arc_challenge",
        title: "ARC-Challenge",
        form: AnswerForm::Choice,
        repo: "allenai/ai2_arc",
        config: "ARC-Challenge",
        split: "test",
        pattern: "ARC-Challenge/{split}-*.parquet",
    },
    Benchmark {
        name: "openbookqa",
        title: "OpenBookQA",
        form: AnswerForm::Choice,
        repo: "allenai/openbookqa",
        config: "main",
        split: "test",
        pattern: "main/{split}-*.parquet",
    },
    Benchmark {
        name: "svamp",
        title: "SVAMP",
        form: AnswerForm::Number,
        repo: "ChilleD/SVAMP",
        config: "",
        split: "test",
        pattern: "*{split}-*.parquet",
    },
    Benchmark {
        name: "commonsenseqa",
        title: "CommonsenseQA",
        form: AnswerForm::Choice,
        repo: "tau/commonsense_qa",
        config: "",
        // The answers of its test split are not published.
        split: "validation",
        pattern: "data/{split}-*.parquet",
    },
    Benchmark {
        name: "strategyqa",
        title: "StrategyQA",
        form: AnswerForm::YesNo,
        repo: "ChilleD/StrategyQA",
        config: "",
        split: "test",
        pattern: "{split}.json",
    },
];

impl Benchmark {
    /// Returns the benchmark of that name or title, ignoring case and punctuation; `2024` and `24` are the same.
    ///
    /// ```
    /// use stir_eval::task::Benchmark;
    /// assert_eq!(Benchmark::find("MATH-500").map(|b| b.name), Some("math500"));
    /// assert_eq!(Benchmark::find("aime_2024").map(|b| b.name), Some("aime24"));
    /// assert!(Benchmark::find("mmlu").is_none());
    /// ```
    pub fn find(name: &str) -> Option<&'static Self> {
        let key = |name: &str| {
            let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            letters.to_ascii_lowercase().replace("202", "2")
        };
        let wanted = key(name);
        CATALOGUE.iter().find(|benchmark| key(benchmark.name) == wanted || key(benchmark.title) == wanted)
    }
}
