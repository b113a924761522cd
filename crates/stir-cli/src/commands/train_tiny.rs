//! `stir train-tiny` trains the small model that comes with the program: a Qwen2-architecture decoder with a byte-level
//! tokenizer, on synthetic word problems solved with two habits (see `stir::eval::word_problems`).
//!
//! ```text
//! stir train-tiny --out crates/stir-cli/assets/tiny
//! ```

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use burn::{
    grad_clipping::GradientClippingConfig,
    module::Module,
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Int, Tensor, TensorData, activation::log_softmax},
};
use miette::{IntoDiagnostic, Result, WrapErr, ensure};
use stir::{
    core::{Engine, GenerateOptions, Request, SampleRng, Sampling, Text, TokenId, generate},
    eval::word_problems::Split,
    grade::FinalNumber,
    model::{ChatTemplate, Decoder, DecoderConfig, DeviceSpec, Lm, Message, ModelError, Tokenizer},
};
use tokenizers::{
    AddedToken, SplitDelimiterBehavior,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split as SplitBy, SplitPattern},
    },
};

use crate::{
    lessons::{Lesson, Lessons},
    output::show,
    progress::Progress,
};

/// Train the model that comes with the program from nothing; about half an hour on two cores
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder to write the model to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Problems to train on
    #[arg(long, value_enum, default_value_t = Lessons::Words)]
    problems: Lessons,
    /// Folder of a model that `train-tiny` made, to begin with its weights and its tokenizer [default: random weights]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Optimizer steps
    #[arg(long, value_name = "N", default_value_t = 1700)]
    steps: usize,
    /// Sequences in a batch
    #[arg(long, value_name = "N", default_value_t = BATCH)]
    batch: usize,
    /// Peak learning rate
    #[arg(long, value_name = "X", default_value_t = LEARNING_RATE)]
    learning_rate: f64,
    /// Seed of weights and data
    #[arg(long, default_value_t = SEED)]
    seed: u64,
    /// Device to train on
    #[arg(long, default_value_t = DeviceSpec::default())]
    device: DeviceSpec,
}

const VOCAB_SIZE: usize = 408;
const BATCH: usize = 24;
const LEARNING_RATE: f64 = 2e-3;
const SEED: u64 = 4;
const CHAT_TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// `<|endoftext|>`, `<|im_start|>`, `<|im_end|>` take the first ids.
const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const END: TokenId = 2;
/// Steps between two writings of the model, so that an interruption costs little.
const SAVE_EVERY: usize = 100;
/// Batches drawn together and sorted by length, so that little is padded.
const POOL: usize = 8;

impl Args {
    /// Continues the training of a model, on `problems`: at half the rate of a beginning, else as the flags have it.
    pub(crate) fn further(out: PathBuf, problems: Lessons, from: PathBuf, steps: usize, device: DeviceSpec) -> Self {
        Self {
            out,
            problems,
            from: Some(from),
            steps,
            batch: BATCH,
            learning_rate: LEARNING_RATE / 2.0,
            seed: SEED,
            device,
        }
    }
}

/// Trains a model from nothing.
pub(crate) fn run(args: Args) -> Result<()> {
    for (name, value) in [("steps", args.steps), ("batch", args.batch)] {
        ensure!(value > 0, "{name} is 0, must be >= 1");
    }
    let out = args.out.as_path();
    std::fs::create_dir_all(out).into_diagnostic().wrap_err_with(|| out.display().to_string())?;
    match &args.from {
        Some(from) => copy_tokenizer(from, out)?,
        None => write_tokenizer(out, args.problems, args.seed)?,
    }
    let tokenizer = Tokenizer::from_file(&out.join("tokenizer.json")).into_diagnostic()?;
    let chat = ChatTemplate::from_dir(out).into_diagnostic()?.ok_or_else(|| miette::miette!("no chat template"))?;
    let hf = serde_json::json!({
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "dtype": "float32",
        "eos_token_id": END,
        "hidden_act": "silu",
        "hidden_size": 128,
        "initializer_range": 0.02,
        "intermediate_size": 384,
        "max_position_embeddings": 512,
        "model_type": "qwen2",
        "num_attention_heads": 4,
        "num_hidden_layers": 5,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": true,
        "use_sliding_window": false,
        "vocab_size": VOCAB_SIZE,
    });
    let device = args.device.open().into_diagnostic()?;
    train(&args, &hf, &tokenizer, &chat, &device)?;
    report(&args, &device)
}

/// Trains by AdamW with a linear warm-up over a twentieth of the steps and a linear decay to zero.
fn train(
    args: &Args,
    hf: &serde_json::Value,
    tokenizer: &Tokenizer,
    chat: &ChatTemplate,
    device: &Device,
) -> Result<()> {
    let device = device.clone().autodiff();
    let config = DecoderConfig::from_hf(&args.out.join("config.json"), hf.clone()).into_diagnostic()?;
    let mut decoder = match &args.from {
        Some(from) => Lm::load(from, &device).into_diagnostic()?.into_decoder(),
        None => Decoder::random(&config, args.seed, &device).into_diagnostic()?,
    };
    show!("{} parameters", decoder.num_params())?;
    let clipping = Some(GradientClippingConfig::Norm(1.0));
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(0.01)
        .with_beta_2(0.98)
        .with_epsilon(1e-8)
        .with_grad_clipping(clipping)
        .init();
    let rng = SampleRng::new(args.seed, 1);
    let mut data = Data { lessons: args.problems, rng, tokenizer, chat, batch: args.batch, ready: Vec::new() };
    let shown = Progress::new(args.steps as u64, "training");
    let (warm_up, start) = ((args.steps / 20).max(1) as f64, Instant::now());
    let mut running = 0.0;
    for step in 0..args.steps {
        let (inputs, targets, weights) = data.next(&device)?;
        let logits = decoder.forward_dense(inputs);
        let [batch, length, vocab] = logits.dims();
        let chosen = log_softmax(logits.reshape([batch * length, vocab]), 1).gather(1, targets);
        let loss = -(chosen * weights.clone()).sum() / weights.sum();
        let value: f32 = loss.clone().into_scalar();
        running = if step == 0 { value } else { 0.95 * running + 0.05 * value };
        let left = (args.steps - step) as f64 / (args.steps as f64 - warm_up).max(1.0);
        let rate = args.learning_rate * ((step + 1) as f64 / warm_up).min(left).min(1.0);
        let gradients = GradientsParams::from_grads(loss.backward(), &decoder);
        decoder = optimizer.step(rate, decoder, gradients);
        shown.set_note(format!("loss {running:.4}"));
        shown.advance();
        if (step + 1) % SAVE_EVERY == 0 || step + 1 == args.steps {
            decoder.save(&args.out, hf).into_diagnostic()?;
            show!("step {} loss {running:.4} after {:.0} s", step + 1, start.elapsed().as_secs_f64())?;
        }
    }
    Ok(())
}

/// The endless stream of training batches.
struct Data<'a> {
    lessons: Lessons,
    rng: SampleRng,
    tokenizer: &'a Tokenizer,
    chat: &'a ChatTemplate,
    batch: usize,
    ready: Vec<Vec<(Vec<TokenId>, usize)>>,
}

impl Data<'_> {
    /// Inputs `[batch, length]`, the tokens that follow `[batch * length, 1]`, and 1 where they are part of a solution.
    fn next(&mut self, device: &Device) -> Result<(Tensor<2, Int>, Tensor<2, Int>, Tensor<2>)> {
        if self.ready.is_empty() {
            self.fill()?;
        }
        let rows = self.ready.pop().unwrap_or_default();
        let length = rows.iter().map(|(tokens, _)| tokens.len() - 1).max().unwrap_or(0);
        let (mut inputs, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for (tokens, prompt) in &rows {
            let at = |i: usize| tokens.get(i).map_or(0, |&t| i64::from(t));
            inputs.extend((0..length).map(at));
            targets.extend((1..=length).map(at));
            weights.extend((1..=length).map(|i| f32::from(u8::from(i >= *prompt && i < tokens.len()))));
        }
        let tall = [rows.len() * length, 1];
        Ok((
            Tensor::from_data(TensorData::new(inputs, [rows.len(), length]), device),
            Tensor::from_data(TensorData::new(targets, tall), device),
            Tensor::from_data(TensorData::new(weights, tall), device),
        ))
    }

    fn fill(&mut self) -> Result<()> {
        let mut pool = Vec::new();
        for _ in 0..POOL * self.batch {
            let lesson = self.lessons.draw(&mut self.rng, Split::Train);
            let prompt = self.chat.render(&[Message::user(&lesson.question)]).into_diagnostic()?;
            let mut tokens = self.tokenizer.encode_prompt(&prompt).into_diagnostic()?;
            let prompt = tokens.len();
            tokens.extend(self.tokenizer.encode(&lesson.solution).into_diagnostic()?);
            tokens.push(END);
            pool.push((tokens, prompt));
        }
        pool.sort_by_key(|(tokens, _)| tokens.len());
        self.ready = pool.chunks(self.batch).map(<[_]>::to_vec).collect();
        // Fisher-Yates: batches of every length come in any order.
        for i in (1..self.ready.len()).rev() {
            self.ready.swap(i, self.rng.below(i + 1));
        }
        Ok(())
    }
}

fn copy_tokenizer(from: &Path, out: &Path) -> Result<()> {
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        std::fs::copy(from.join(name), out.join(name))
            .into_diagnostic()
            .wrap_err_with(|| from.display().to_string())?;
    }
    Ok(())
}

/// A byte-level BPE learned from the problems: every digit is a token, and a full stop takes its line breaks with it,
/// so that the end of a step is one token.
fn write_tokenizer(out: &Path, lessons: Lessons, seed: u64) -> Result<()> {
    let other = |error: tokenizers::Error| miette::miette!("{error}");
    let pattern = SplitPattern::Regex(r"\d|[^\s\d\p{L}]+\n*|\s*\n+| ?\p{L}+|\s".into());
    let split = SplitBy::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(other)?;
    let bytes = ByteLevel::new(false, true, false);
    let mut tokenizer = tokenizers::Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let trainer = BpeTrainer::builder()
        .vocab_size(VOCAB_SIZE)
        .show_progress(false)
        .special_tokens(SPECIAL.iter().map(|token| AddedToken::from(*token, true)).collect())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let texts: Vec<String> = (lessons.corpus(4000, seed, Split::Train).iter())
        .map(|lesson| format!("user\n{}\nassistant\n{}", lesson.question, lesson.solution))
        .collect();
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), texts.iter()).map_err(other)?;
    tokenizer.save(out.join("tokenizer.json"), true).map_err(other)?;
    let config = serde_json::json!({ "eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "tokenizer_class": "PreTrainedTokenizerFast" });
    for (name, text) in
        [("chat_template.jinja", CHAT_TEMPLATE.to_owned()), ("tokenizer_config.json", format!("{config:#}"))]
    {
        stir::files::write_atomically(out.join(name), text).into_diagnostic()?;
    }
    Ok(())
}

/// Loads what was written and says how it does on problems it has not seen.
fn report(args: &Args, device: &Device) -> Result<()> {
    let lm = Lm::load(&args.out, device).into_diagnostic()?;
    let problems = args.problems.corpus(200, args.seed, Split::HeldOut);
    let ask = |problem: &Lesson| -> Result<Request, ModelError> {
        let prompt = lm.encode_prompt(&lm.chat_prompt(&problem.question)?)?;
        Ok(Request { max_tokens: 200, sampling: Sampling::GREEDY, ..Request::new(prompt) })
    };
    let requests = problems.iter().map(ask).collect::<Result<Vec<_>, _>>().into_diagnostic()?;
    let answers = generate(&lm, &requests, GenerateOptions::default()).into_diagnostic()?;
    let texts: Vec<String> = answers.iter().flatten().map(|answer| answer.text(lm.vocab())).collect();
    let right = problems
        .iter()
        .zip(&texts)
        .filter(|(problem, text)| FinalNumber.correct(&problem.answer.to_string(), text))
        .count();
    for text in texts.iter().take(3) {
        show!("---\n{text}")?;
    }
    show!("---\nplain greedy: {right} of {} held-out problems right", problems.len())?;
    Ok(())
}
