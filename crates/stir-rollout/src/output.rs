//! The output of a run: a JSONL file that survives being cut off and ends in order.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions, TryLockError},
    io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    Rollout, RolloutError, Prompt,
    jsonl::{Lines, Place, io_error},
    settings,
};

/// An output under way. Holding it locks the file against other runs.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    file: File,
    /// What is in the file: place of the task and number of the sample, and where its line lies.
    lines: BTreeMap<(usize, usize), Place>,
    end: u64,
}

impl Output {
    /// Opens `path`, or begins it; hands each record it holds to `found` with the place of its task.
    ///
    /// A last line that a dying process left unfinished is cut off; any other broken line is an error and nothing is
    /// deleted. `settings` is the JSON text of this run's settings.
    pub(crate) fn open(
        path: &Path,
        tasks: &[Prompt],
        samples: usize,
        settings: &str,
        mut found: impl FnMut(usize, &Rollout),
    ) -> Result<Self, RolloutError> {
        let by_id = places(tasks)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io_error("open", path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(RolloutError::InUse { path: path.to_owned() }),
            // A file system without locks (some network ones) is no reason not to work.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(source)) => return Err(io_error("lock", path)(source)),
            Ok(()) => {}
        }
        let mut output = Self { path: path.to_owned(), file, lines: BTreeMap::new(), end: 0 };
        let Survey { records, end, terminated } = output.survey()?;
        // Settings come first: of two wrong things, they are the one that explains the other.
        let sidecar = settings::beside(path);
        if records == 0 {
            settings::replace(&sidecar, settings)?;
        } else {
            settings::check(&sidecar, settings, records)?;
        }
        let mut lines = output.reader()?;
        for _ in 0..records {
            let Some(place) = lines.advance()? else { break };
            let rollout: Rollout = lines.parse()?;
            let (path, line, k) = (path.to_owned(), place.line, rollout.k);
            let Some(&task) = by_id.get(rollout.id.as_str()).filter(|_| k < samples) else {
                return Err(RolloutError::Unasked { path, line, id: rollout.id, k });
            };
            if output.lines.insert((task, k), place).is_some() {
                return Err(RolloutError::DuplicateRollout { path, line, id: rollout.id, k });
            }
            found(task, &rollout);
        }
        output.mend(end, terminated)?;
        Ok(output)
    }

    /// Finds where the last whole record ends. Nothing is judged here but a last line without a line feed.
    fn survey(&self) -> Result<Survey, RolloutError> {
        let mut lines = self.reader()?;
        let mut survey = Survey { records: 0, end: 0, terminated: true };
        while let Some(place) = lines.advance()? {
            survey.terminated = lines.bytes().ends_with(b"\n");
            if !survey.terminated && lines.parse::<Rollout>().is_err() {
                survey.terminated = true;
                break;
            }
            survey.records += 1;
            survey.end = place.start + place.len;
        }
        Ok(survey)
    }

    /// Cuts the file at `end` and closes a last record that lacks only its line feed.
    fn mend(&mut self, end: u64, terminated: bool) -> Result<(), RolloutError> {
        let feed: &[u8] = if terminated { b"" } else { b"\n" };
        self.file
            .set_len(end)
            .and_then(|()| self.file.seek(SeekFrom::End(0)))
            .and_then(|_| self.file.write_all(feed))
            .map_err(io_error("mend", &self.path))?;
        self.end = end + feed.len() as u64;
        if let Some(last) = self.lines.values_mut().max_by_key(|place| place.start) {
            last.len += feed.len() as u64;
        }
        Ok(())
    }

    fn reader(&self) -> Result<Lines, RolloutError> {
        let mut file = self.file.try_clone().map_err(io_error("read", &self.path))?;
        file.rewind().map_err(io_error("read", &self.path))?;
        Ok(Lines::over(file, &self.path))
    }

    /// The samples that are not in the file: the place of each task that lacks some and their numbers, last first.
    pub(crate) fn missing(&self, tasks: usize, samples: usize) -> Vec<(usize, Vec<usize>)> {
        let of_task = |task| (0..samples).rev().filter(|&k| !self.lines.contains_key(&(task, k))).collect();
        (0..tasks).map(|task| (task, of_task(task))).filter(|(_, ks): &(_, Vec<_>)| !ks.is_empty()).collect()
    }

    /// Samples in the file.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Writes a record at the end, in one piece.
    pub(crate) fn append(&mut self, task: usize, rollout: &Rollout) -> Result<(), RolloutError> {
        let mut line = serde_json::to_vec(rollout)?;
        line.push(b'\n');
        self.file.write_all(&line).and_then(|()| self.file.flush()).map_err(io_error("write", &self.path))?;
        let place = Place { line: self.lines.len() + 1, start: self.end, len: line.len() as u64 };
        self.lines.insert((task, rollout.k), place);
        self.end += place.len;
        Ok(())
    }

    /// Puts the records in order of task and sample, so that a run ends in the same bytes however it went.
    ///
    /// The ordered copy takes the place of the file in one step.
    pub(crate) fn finish(mut self) -> Result<(), RolloutError> {
        let sorted = self.lines.values().is_sorted_by_key(|place| place.start);
        if sorted {
            return self.file.sync_all().map_err(io_error("write", &self.path));
        }
        let part = settings::with_suffix(&self.path, ".part");
        let mut copy = BufWriter::new(File::create(&part).map_err(io_error("create", &part))?);
        let mut line = Vec::new();
        for place in self.lines.values() {
            line.resize(place.len as usize, 0);
            self.file
                .seek(SeekFrom::Start(place.start))
                .and_then(|_| self.file.read_exact(&mut line))
                .map_err(io_error("read", &self.path))?;
            copy.write_all(&line).map_err(io_error("write", &part))?;
        }
        let copy = copy.into_inner().map_err(|error| io_error("write", &part)(error.into_error()))?;
        copy.sync_all().map_err(io_error("write", &part))?;
        fs::rename(&part, &self.path).map_err(io_error("replace", &self.path))
    }
}

/// What a first look at an output finds.
struct Survey {
    records: usize,
    /// Where the last whole record ends.
    end: u64,
    /// Whether it ends in a line feed.
    terminated: bool,
}

fn places(tasks: &[Prompt]) -> Result<HashMap<&str, usize>, RolloutError> {
    let mut by_id = HashMap::new();
    for (second, task) in tasks.iter().enumerate() {
        if let Some(first) = by_id.insert(task.id.as_str(), second) {
            return Err(RolloutError::DuplicatePrompt { id: task.id.clone(), first, second });
        }
    }
    Ok(by_id)
}
