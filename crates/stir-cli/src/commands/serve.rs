//! `stir serve`, a model behind the addresses of OpenAI's API, for this machine; see `docs/serve.md`.
//!
//! ```text
//! stir serve --model path/to/a/folder --library math=library.stir
//! ```
//!
//! A first Ctrl-C or SIGTERM lets answers in progress finish, a second one ends the program.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use miette::{IntoDiagnostic, Result, WrapErr, ensure};
use stir::{
    basis::Library,
    controller::Variant,
    model::{ChatOptions, Lm},
};
use stir_serve::{ApiKey, Model, ServeConfig, Server};
use tokio::net::TcpListener;

use crate::{model::ModelArgs, output::tell, settings::ControllerArgs, signals::Signals};

/// Serve a model over HTTP as OpenAI's API does, steered where a request says so
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address to listen at; others than this machine can reach the server at any but 127.0.0.1
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port to listen at; 0 for any that is free
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Name that requests call the model by [default: that of its file or folder]
    #[arg(long)]
    name: Option<String>,
    /// Library that requests can name, as `stir basis` writes it; may be given several times
    #[arg(long, value_name = "NAME=FILE", value_parser = library)]
    library: Vec<(String, PathBuf)>,
    /// Key that requests must name [default: the variable STIR_API_KEY, or none]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Answers that share a forward pass at most
    #[arg(long, value_name = "N", default_value_t = ServeConfig::default().max_batch)]
    max_batch: usize,
    /// Answers that may wait; requests past them are refused
    #[arg(long, value_name = "N", default_value_t = ServeConfig::default().queue)]
    queue: usize,
    /// Most new tokens of an answer
    #[arg(long, value_name = "N", default_value_t = ServeConfig::default().max_tokens)]
    max_tokens: usize,
    /// Seconds that a request may take
    #[arg(long, value_name = "SECONDS", default_value_t = ServeConfig::default().time_limit.as_secs())]
    time_limit: u64,
    /// Seconds that answers in progress get to finish when the program is told to end
    #[arg(long, value_name = "SECONDS", default_value_t = ServeConfig::default().drain.as_secs())]
    drain: u64,
    /// Positions of prompts that are kept for requests that begin alike
    #[arg(long, value_name = "N", default_value_t = ServeConfig::default().prefix_positions)]
    prefix_positions: usize,
    #[command(flatten)]
    steering: ControllerArgs,
    #[command(flatten)]
    model: ModelArgs,
}

fn library(text: &str) -> Result<(String, PathBuf), &'static str> {
    let (name, file) = text.split_once('=').ok_or("must be NAME=FILE")?;
    Ok((name.to_owned(), file.into()))
}

pub(crate) fn run(args: Args) -> Result<()> {
    let config = config(&args);
    config.validate().into_diagnostic()?;
    let model = args.model.open()?;
    let mut libraries = Vec::new();
    let mut names = BTreeSet::new();
    for (name, _) in &args.library {
        ensure!(names.insert(name), "--library names two files {name:?}");
    }
    for (name, file) in &args.library {
        let library = Library::load(file).into_diagnostic()?;
        model.check_sizes(library.fingerprint()).into_diagnostic().wrap_err_with(|| file.display().to_string())?;
        libraries.push((name, library));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().into_diagnostic()?;
    // Before the weights are read: the port may be taken.
    let address = (args.host, args.port);
    let listener = runtime.block_on(TcpListener::bind(address)).into_diagnostic();
    let listener = listener.wrap_err_with(|| format!("cannot listen at {}:{}", args.host, args.port))?;
    let lm = Arc::new(model.load()?);
    let server = Server::new(served(args.name.unwrap_or_else(|| args.model.name()), lm)?, config).into_diagnostic()?;
    for (name, library) in libraries {
        server.add_library(name, library).into_diagnostic()?;
    }
    tell!("listening at http://{}", listener.local_addr().into_diagnostic()?);
    runtime.block_on(async {
        let shutdown = told_to_end().into_diagnostic()?;
        server.run(listener, shutdown).await.into_diagnostic()
    })
}

fn config(args: &Args) -> ServeConfig {
    let from_environment = || std::env::var("STIR_API_KEY").ok().filter(|key| !key.is_empty());
    ServeConfig {
        max_batch: args.max_batch,
        queue: args.queue,
        max_tokens: args.max_tokens,
        time_limit: Duration::from_secs(args.time_limit),
        drain: Duration::from_secs(args.drain),
        prefix_positions: args.prefix_positions,
        api_key: args.api_key.clone().or_else(from_environment).map(ApiKey::new),
        controller: args.steering.config(Variant::Stir, args.model.seed),
        ..ServeConfig::default()
    }
}

/// Returns the model with its chat template, if it has one, and the sampling that its authors recommend.
fn served(name: String, lm: Arc<Lm>) -> Result<Model<Lm>> {
    ensure!(!name.is_empty(), "the name of the model is empty");
    let model =
        Model::<Lm>::new(name, lm.clone()).with_sampling(lm.generation_defaults().sampling()).into_diagnostic()?;
    if lm.chat_template().is_err() {
        return Ok(model);
    }
    Ok(model.with_chat(move |messages, variables| {
        let options = ChatOptions { variables: variables.clone(), ..ChatOptions::default() };
        Ok(lm.chat_template()?.render_with(messages, &options)?)
    }))
}

/// Returns what is ready once the program is told to end; told again, the program does at once.
fn told_to_end() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut signals = Signals::new()?;
    Ok(async move {
        signals.next().await;
        tell!("answers in progress are finished; once more ends them");
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(130);
        });
    })
}
