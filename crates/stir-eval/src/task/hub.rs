use std::ops::ControlFlow;

use stir_hub::{Files, Options, Progress, RepoKind, snapshot};

use super::{Benchmark, Task, TaskError, unknown};

impl Task {
    /// Loads the task `name` of the catalogue from its repository on the Hugging Face hub, which is fetched into the cache
    /// if it is not there yet. `split` replaces the split that results are reported on. `options` name the hub, the
    /// cache, the revision and the token; the files to fetch are known here.
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    /// use stir_eval::{hub::Options, task::Task};
    ///
    /// let task = Task::from_hub("gsm8k", Some("train"), &Options::from_env()?, |_| ControlFlow::Continue(()))?;
    /// println!("{} problems", task.problems().len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fails like [`load`](Self::load), and if the hub does not provide the files.
    pub fn from_hub(
        name: &str,
        split: Option<&str>,
        options: &Options,
        progress: impl FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Self, TaskError> {
        let benchmark = Benchmark::find(name).ok_or_else(|| unknown(name))?;
        benchmark.fetch(split.unwrap_or(benchmark.split), options, progress)
    }
}

impl Benchmark {
    fn fetch(
        &self,
        split: &str,
        options: &Options,
        progress: impl FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Task, TaskError> {
        let files = Files::Matching(vec![self.pattern.replace("{split}", split)]);
        let options = Options { kind: RepoKind::Dataset, files, ..options.clone() };
        let folder = snapshot(self.repo, &options, progress)
            .map_err(|source| TaskError::Hub { repo: self.repo, source: Box::new(source) })?;
        self.load(&folder, split)
    }
}
