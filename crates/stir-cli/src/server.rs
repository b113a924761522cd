//! A server that samples in place of this program.

use std::{env, time::Duration};

use miette::{IntoDiagnostic, Result, miette};
use stir::rollout::remote::RemoteServer;

/// The server that samples.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Address of a server of OpenAI's completions (vLLM, SGLang, llama.cpp, stir serve) that samples; --model is then read for its
    /// tokenizer and its chat template only
    #[arg(long, value_name = "URL", requires = "server_model")]
    server: Option<String>,
    /// Name that the server has for the model
    #[arg(long, value_name = "NAME", requires = "server")]
    server_model: Option<String>,
    /// Requests to the server that are under way at a time
    #[arg(long, value_name = "N", default_value_t = 16, requires = "server")]
    parallel: usize,
    /// Environment variable with the key that the server asks for
    #[arg(long, value_name = "ENV", requires = "server")]
    server_key: Option<String>,
    /// Longest wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, requires = "server")]
    server_timeout: u64,
}

impl ServerArgs {
    /// Returns the server, if one is named.
    pub(crate) fn server(&self) -> Result<Option<RemoteServer>> {
        let Self { server: Some(url), server_model: Some(model), parallel, server_key, server_timeout } = self else {
            return Ok(None);
        };
        let key = server_key.as_ref().map(|name| {
            env::var(name)
                .map_err(|_| miette!("--server-key: there is no environment variable {name} with a text in it"))
        });
        let server = RemoteServer {
            key: key.transpose()?,
            parallel: *parallel,
            timeout: Duration::from_secs(*server_timeout),
            ..RemoteServer::new(url, model)
        };
        server.validate().into_diagnostic()?;
        Ok(Some(server))
    }
}
