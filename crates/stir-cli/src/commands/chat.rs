//! `stir chat`, a conversation in the terminal, token by token, with or without a library; where it steers shows in
//! colour.
//!
//! ```text
//! stir chat --library runs/pipeline/library.stir
//! stir chat --model path/to/a/folder --message "Why is the sky blue?"
//! ```
//!
//! Every line of the input is a message; `/reset` forgets the conversation, `/quit` or the end of the input ends it.
//! Ctrl-C ends an answer, and the program when there is none in progress. The text goes to stdout, with a mark at every
//! impulse, all else to stderr. Mark and colour belong to the token: text that waited for it (half a character, what
//! might have become a stop string) is shown with it.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use clap::ValueEnum;
use miette::{IntoDiagnostic, Result};
use stir::{
    basis::Library,
    controller::{Controller, Place, Step, Variant},
    core::{Engine, Event, Finish, Flow, GenerateError, GenerateOptions, Request, Sampling, Text, stream},
    eval::{PromptMessages, questions::refuses_system},
    model::{ChatOptions, Lm, Message, ModelError, opens_reasoning},
};

use crate::{
    model::{ModelArgs, OpenModel},
    output::{self, tell},
    settings::{ControllerArgs, SamplingArgs},
};

/// Talk to a model, steered or not
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Library to steer with, as `stir basis` writes it
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// System message; in front of the first message where the model's chat template has no system turn
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Answer this message and end; may be given several times
    #[arg(long, value_name = "TEXT")]
    message: Vec<String>,
    /// Most new tokens of an answer
    #[arg(long, value_name = "N", default_value_t = Request::default().max_tokens)]
    max_tokens: usize,
    /// Colour steered text: always, never, or on a terminal
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
    #[command(flatten)]
    steering: ControllerArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

/// Ends the answer in progress.
static CANCEL: AtomicBool = AtomicBool::new(false);
/// Set while an answer is being generated.
static BUSY: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(args: Args) -> Result<()> {
    let config = args.steering.config(Variant::Stir, args.model.seed);
    config.validate().into_diagnostic()?;
    let library = args.library.as_ref().map(Library::load).transpose().into_diagnostic()?;
    let model = args.model.open()?;
    if let Some(library) = &library {
        model.check_sizes(library.fingerprint()).into_diagnostic()?;
    }
    // The model's recommended sampling, except for the settings that were given.
    let sampling = args.sampling.over(model.files.generation.sampling());
    model.check_request(&request(&args, sampling))?;
    let opening = Opening::new(&model, args.system.as_deref())?;
    let lm = model.load()?;
    let controller = library.map(|library| Controller::new(library, lm.fingerprint(), config));
    let controller = controller.transpose().into_diagnostic()?;
    ctrlc::set_handler(|| {
        // A second time, or with nothing to cancel, it means the program.
        if !BUSY.load(Ordering::SeqCst) || CANCEL.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .into_diagnostic()?;

    let terminal = std::io::stdin().is_terminal();
    let color = match args.color {
        Color::Auto => {
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
        color => color == Color::Always,
    };
    let mut chat = Chat { lm: &lm, controller, sampling, color, args: &args, opening, said: Vec::new() };
    for message in &args.message {
        chat.answer(message)?;
    }
    if !args.message.is_empty() {
        return Ok(());
    }
    let prompt = || {
        if terminal {
            let _ = write!(std::io::stderr(), "> ");
        }
    };
    prompt();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.into_diagnostic()?;
        match String::from_utf8_lossy(&line).trim() {
            "" => {}
            "/quit" => return Ok(()),
            "/reset" => chat.said.clear(),
            // In a conversation a message that is too long is not the end of it; an output without a reader is.
            message => match chat.answer(message) {
                Err(error) if terminal && !error.is::<std::io::Error>() => output::warn(&error),
                result => result?,
            },
        }
        prompt();
    }
    if terminal {
        tell!("");
    }
    Ok(())
}

/// Returns the request for an answer, without its prompt.
fn request(args: &Args, sampling: Sampling) -> Request {
    let (stop, seed) = (args.sampling.stop.clone(), args.model.seed);
    Request { max_tokens: args.max_tokens, sampling, stop, seed, ..Request::default() }
}

/// What the system message makes of the first message of a conversation.
struct Opening {
    system: Option<String>,
    /// True if the chat template refuses a system turn: the system message then stands in front of the user's.
    in_user: bool,
}

impl Opening {
    fn new(model: &OpenModel<'_>, system: Option<&str>) -> Result<Self> {
        let render = |system: Option<&str>, user: &str| model.render(system, user);
        let in_user = system.is_some() && refuses_system(&render);
        // A template that refuses everything, or that is missing, is told before the model is loaded.
        render(system.filter(|_| !in_user), "Hello").into_diagnostic()?;
        Ok(Self { system: system.map(str::to_owned), in_user })
    }

    fn messages(&self, message: &str) -> Vec<Message> {
        let prompt = PromptMessages { system: self.system.clone(), user: message.to_owned(), is_raw: false };
        let PromptMessages { system, user, .. } = if self.in_user { prompt.without_system() } else { prompt };
        system.map(Message::system).into_iter().chain([Message::user(user)]).collect()
    }
}

struct Chat<'a> {
    lm: &'a Lm,
    controller: Option<Controller>,
    sampling: Sampling,
    color: bool,
    args: &'a Args,
    opening: Opening,
    said: Vec<Message>,
}

impl Chat<'_> {
    /// Puts `message` to the model and shows the answer as it comes.
    fn answer(&mut self, message: &str) -> Result<()> {
        let said = self.said.len();
        match said {
            0 => self.said = self.opening.messages(message),
            _ => self.said.push(Message::user(message)),
        }
        match self.generate() {
            Ok(text) => {
                self.said.push(Message::assistant(text));
                Ok(())
            }
            Err(error) => {
                self.said.truncate(said);
                Err(error)
            }
        }
    }

    fn generate(&self) -> Result<String> {
        let template = self.lm.chat_template().into_diagnostic()?;
        let prompt = template.render_with(&self.said, &ChatOptions::default()).into_diagnostic()?;
        let tokens = self.lm.encode_prompt(&prompt).into_diagnostic()?;
        let shared = request(self.args, self.sampling);
        let request = Request { prompt: tokens, stream: self.said.len() as u64, ..shared };
        let mut view = AnswerView { color: self.color, ..AnswerView::default() };
        if opens_reasoning(&prompt) {
            view.show("<think>\n", None)?;
        }
        let (start, requests) = (Instant::now(), [request]);
        let options = GenerateOptions { cancel: Some(&CANCEL), ..GenerateOptions::default() };
        CANCEL.store(false, Ordering::SeqCst);
        BUSY.store(true, Ordering::SeqCst);
        let result = match &self.controller {
            Some(controller) => controller.stream(self.lm, &requests, options, |_, event| {
                view.event(event, Some, |answer| (answer.generated.tokens.len(), answer.generated.finish))
            }),
            None => stream(self.lm, &requests, options, |_, event| {
                view.event(event, |()| None, |answer| (answer.tokens.len(), answer.finish))
            }),
        };
        BUSY.store(false, Ordering::SeqCst);
        view.end(result, start)
    }
}

/// The part of an answer that has been shown.
#[derive(Default)]
struct AnswerView {
    color: bool,
    text: String,
    /// Segments that began with an impulse.
    steered: usize,
    end: Option<(usize, Finish)>,
    failed: Option<miette::Report>,
}

const STEERED: &str = "\x1b[36m";
const MARK: &str = "\x1b[2;36m";
const PLAIN: &str = "\x1b[0m";

impl AnswerView {
    fn event<A, N>(
        &mut self,
        event: Event<A, N>,
        place: impl FnOnce(N) -> Option<Place>,
        end: impl FnOnce(A) -> (usize, Finish),
    ) -> Flow {
        let written = match event {
            Event::Token(token) => self.show(&token.text, place(token.note).as_ref()),
            Event::Finished { text, answer } => {
                self.end = Some(end(answer));
                self.show(&text, None)
            }
            Event::Failed { text, error, .. } => {
                self.failed = Some(miette::Report::from_err(error));
                self.show(&text, None)
            }
        };
        match written {
            Ok(()) => Flow::Continue,
            // There is no reader any more.
            Err(error) => {
                self.failed.get_or_insert(error);
                Flow::CancelAll
            }
        }
    }

    fn show(&mut self, text: &str, place: Option<&Place>) -> Result<()> {
        self.text += text;
        let mut out = std::io::stdout().lock();
        if let Some(step) = place.and_then(|place| place.step.as_ref()).filter(|step| step.steered()) {
            self.steered += 1;
            let mark = mark(step);
            let written = if self.color { write!(out, "{MARK}{mark}{PLAIN}") } else { write!(out, "{mark}") };
            written.into_diagnostic()?;
        }
        let written = match self.color && place.is_some_and(Place::steered) {
            true => write!(out, "{STEERED}{text}{PLAIN}"),
            false => write!(out, "{text}"),
        };
        written.and_then(|()| out.flush()).into_diagnostic()
    }

    /// Says how it went; returns the answer's text.
    fn end(self, result: Result<(), GenerateError<ModelError>>, start: Instant) -> Result<String> {
        let ended = writeln!(std::io::stdout());
        result.into_diagnostic()?;
        if let Some(error) = self.failed {
            return Err(error);
        }
        ended.into_diagnostic()?;
        if let Some((tokens, finish)) = self.end {
            let why = match finish {
                Finish::Eos => "",
                Finish::Stop => ", stop string",
                Finish::Length => ", cut off at its length",
                Finish::Cancelled => ", cancelled",
                _ => ", ended for another reason",
            };
            let rate = tokens as f64 / start.elapsed().as_secs_f64();
            tell!("[{tokens} tokens, {rate:.1} a second, {} segments steered{why}]", self.steered);
        }
        Ok(self.text)
    }
}

/// Describes the impulse added at a control point, for people to read.
fn mark(step: &Step) -> String {
    let entry = step.chosen.map_or_else(String::new, |entry| format!("entry {entry}, "));
    let layer = step.layer.map_or_else(String::new, |layer| format!("layer {layer}, "));
    format!("[{entry}{layer}scale {:.2}]", step.scale)
}
