use std::{fmt, ops::ControlFlow, path::Path};

use stir_files::Shard;
use tracing::info_span;

use super::{RemoteError, RemoteServer, Tokens, asking::Asking, client::Client, threads::Writer};
use crate::{
    Progress, Prompt, RolloutConfig, Summary, check_output,
    output::Output,
    run::{Observer, part},
    settings,
    summary::Tally,
};

/// A run that draws K samples of every prompt from a server.
///
/// The file is that of [`Rollouts`](crate::Rollouts) and is resumed by prompt and sample like it. What differs is that a
/// server's samples do not reproduce: they depend on what else it computes at the time. The settings next to the file say so
/// (`"reproducible": false`), and what the server was found to take and to return; so a file is not continued here that was
/// begun on an engine, nor the other way round.
///
/// ```no_run
/// use stir_core::toy::ToyEngine;
/// use stir_rollout::{Prompt, RolloutConfig, remote::{RemoteRollouts, RemoteServer}};
/// // In earnest: the tokenizer of the model that the server runs.
/// let model = ToyEngine::new(1);
/// let prompts = [Prompt { id: "p1".into(), prompt: "abc".into(), gold: Some("7".into()) }];
/// let server = RemoteServer { parallel: 32, ..RemoteServer::new("http://node7:8000", "toy") };
/// let run = RemoteRollouts::new(&model, server, RolloutConfig::default())?;
/// let summary = run.run(&prompts, &|_, text| text.contains('7'), "rollouts.jsonl")?;
/// assert!(summary.complete);
/// # Ok::<(), stir_rollout::remote::RemoteError>(())
/// ```
pub struct RemoteRollouts<'t, T> {
    asking: Asking<'t, T>,
    judge_name: Option<String>,
    shard: Option<Shard>,
    on_progress: Option<Box<Observer<'t>>>,
}

impl<'t, T: Tokens> RemoteRollouts<'t, T> {
    /// Prepares a run; `model` is the one that `server` runs. [`RolloutConfig::max_batch`] has no meaning here.
    ///
    /// # Errors
    /// [`RemoteError::Rollout`] for a setting out of bounds.
    pub fn new(model: &'t T, server: RemoteServer, config: RolloutConfig) -> Result<Self, RemoteError> {
        config.validate()?;
        server.validate()?;
        Ok(Self { asking: Asking { model, server, config }, judge_name: None, shard: None, on_progress: None })
    }

    /// Names the judge, as [`Rollouts::judge_name`](crate::Rollouts::judge_name) does.
    #[must_use]
    pub fn judge_name(self, name: impl Into<String>) -> Self {
        Self { judge_name: Some(name.into()), ..self }
    }

    /// Samples only the prompts of one part of the run, as [`Rollouts::shard`](crate::Rollouts::shard) does.
    #[must_use]
    pub fn shard(self, shard: Shard) -> Self {
        Self { shard: Some(shard), ..self }
    }

    /// Calls `observer` once at the start and after every record; with `Break`, no further request is made. Samples that are
    /// being generated are waited for and kept.
    #[must_use]
    pub fn on_progress(self, observer: impl FnMut(Progress) -> ControlFlow<()> + 't) -> Self {
        Self { on_progress: Some(Box::new(observer)), ..self }
    }

    /// Samples every prompt, as [`Rollouts::run`](crate::Rollouts::run) does.
    ///
    /// One token is asked for first, to learn whether the server takes token ids as a prompt and returns those of its
    /// answers. If it returns none, its texts are tokenised here; an event says so, and the settings do.
    ///
    /// An answer that cannot be used costs its sample, eight of them in a row end the run.
    ///
    /// # Errors
    /// [`RemoteError::Rollout`] for two prompts of one id, an output of another run or with a broken line, or a file system
    /// that refuses; [`RemoteError::Server`] if the server gives no answer in the tries that it has, or refuses one (4xx);
    /// [`RemoteError::Reply`] if its answers cannot be used. Finished samples stay in `out` in any case.
    pub fn run(
        self,
        prompts: &[Prompt],
        judge: &dyn Fn(&Prompt, &str) -> bool,
        out: impl AsRef<Path>,
    ) -> Result<Summary<T::Error>, RemoteError> {
        let Self { asking, judge_name, shard, on_progress } = self;
        let judge_name = judge_name.as_deref();
        // What is in the way is told before the server is asked.
        check_output(&asking.config, prompts, judge_name, shard, &out)?;
        let client = Client::new(&asking.server);
        let manner = asking.probe(&client, prompts)?;
        let settings = settings::describe(&asking.config, Some(asking.sampler(manner)), prompts, judge_name, shard)?;
        let (prompts, share) = part(prompts, shard)?;
        let prompts = &*prompts;
        let mut tally = Tally::new(prompts.len(), asking.config.max_tokens);
        let samples = asking.config.samples;
        let found = |prompt, rollout: &_| tally.add(prompt, rollout);
        let output = Output::open(out.as_ref(), prompts, samples, &settings, share, found)?;
        let span = info_span!("rollout", server = client.url, prompts = prompts.len(), samples, resumed = output.len());
        let _entered = span.enter();
        Writer::new(&asking, prompts, judge, on_progress, output, tally).run(&client, manner)
    }
}

impl<T> fmt::Debug for RemoteRollouts<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asking: Asking { server, config, .. }, judge_name, .. } = self;
        f.debug_struct("RemoteRollouts")
            .field("server", server)
            .field("config", config)
            .field("judge_name", judge_name)
            .finish_non_exhaustive()
    }
}
