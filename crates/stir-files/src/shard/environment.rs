//! What schedulers say about the part of a run that a process has.

use super::{Shard, ShardError};

/// The variable that says how many shards there are where the scheduler does not.
pub const SHARDS_VARIABLE: &str = "STIR_SHARDS";

const SLURM: &str = "SLURM_ARRAY_TASK_ID";
const SLURM_COUNT: &str = "SLURM_ARRAY_TASK_COUNT";
const SLURM_MIN: &str = "SLURM_ARRAY_TASK_MIN";
const SLURM_MAX: &str = "SLURM_ARRAY_TASK_MAX";
const SLURM_STEP: &str = "SLURM_ARRAY_TASK_STEP";
const INDEXED_JOB: &str = "JOB_COMPLETION_INDEX";

impl Shard {
    /// Returns the part of a run that a scheduler gave this process. `variable` looks up a variable of the environment.
    ///
    /// - A task of a Slurm array has the part that is its place in the array; the array may begin anywhere and have a
    ///   step, but no gaps.
    /// - A pod of a Kubernetes Indexed Job has the part `JOB_COMPLETION_INDEX` of [`STIR_SHARDS`](SHARDS_VARIABLE), which
    ///   the manifest must set to its number of completions.
    /// - Where `STIR_SHARDS` is set, the task of a Slurm array has the part of its own number, so that an array of a few
    ///   tasks can do again what an array of all left out.
    ///
    /// ```
    /// use stir_files::Shard;
    /// let pod = |name: &str| match name {
    ///     "JOB_COMPLETION_INDEX" => Some("3".to_owned()),
    ///     "STIR_SHARDS" => Some("16".to_owned()),
    ///     _ => None,
    /// };
    /// assert_eq!(Shard::of_scheduler(pod)?, Shard::new(3, 16)?);
    /// # Ok::<(), stir_files::ShardError>(())
    /// ```
    ///
    /// # Errors
    /// [`ShardError`] with the variable that is missing or wrong.
    pub fn of_scheduler(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ShardError> {
        let number = |name: &'static str| -> Result<Option<usize>, ShardError> {
            let Some(value) = variable(name) else { return Ok(None) };
            match value.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ShardError::Variable { name, value, bound: "a whole number >= 0" }),
            }
        };
        let shards = number(SHARDS_VARIABLE)?;
        let Some(task) = number(SLURM)? else {
            let index = number(INDEXED_JOB)?.ok_or(ShardError::NoScheduler)?;
            let count = shards.ok_or(ShardError::Unset { is: INDEXED_JOB, missing: SHARDS_VARIABLE })?;
            return Self::new(index, count);
        };
        if let Some(count) = shards {
            return Self::new(task, count);
        }
        let count = number(SLURM_COUNT)?.ok_or(ShardError::Unset { is: SLURM, missing: SLURM_COUNT })?;
        let (min, step) = (number(SLURM_MIN)?.unwrap_or(0), number(SLURM_STEP)?.unwrap_or(1).max(1));
        let wrong = |name, value: usize, bound| ShardError::Variable { name, value: value.to_string(), bound };
        let last = count.checked_sub(1).ok_or(ShardError::NoShards)?;
        if let Some(max) = number(SLURM_MAX)?
            && max.checked_sub(min) != last.checked_mul(step)
        {
            return Err(wrong(SLURM_MAX, max, "the end of an array without gaps"));
        }
        match task.checked_sub(min) {
            Some(place) if place % step == 0 => Self::new(place / step, count),
            _ => Err(wrong(SLURM, task, "a task of an array without gaps")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Shard, ShardError> {
        Shard::of_scheduler(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    fn array(id: &str, count: &str, min: &str, max: &str, step: &str) -> Result<Shard, ShardError> {
        of(&[(SLURM, id), (SLURM_COUNT, count), (SLURM_MIN, min), (SLURM_MAX, max), (SLURM_STEP, step)])
    }

    #[test]
    fn a_slurm_array_may_begin_anywhere() {
        let shard = |index, count| Shard::new(index, count).unwrap();
        assert_eq!(array("0", "4", "0", "3", "1"), Ok(shard(0, 4)));
        assert_eq!(array("4", "4", "1", "4", "1"), Ok(shard(3, 4)));
        assert_eq!(array("14", "3", "10", "14", "2"), Ok(shard(2, 3)));
        assert_eq!(of(&[(SLURM, "1"), (SLURM_COUNT, "2")]), Ok(shard(1, 2)));
    }

    #[test]
    fn an_array_with_gaps_is_refused() {
        // --array=0,1,5 and --array=0,2,3: a place among the tasks cannot be told.
        for id in ["0", "1", "5"] {
            assert!(matches!(array(id, "3", "0", "5", "1"), Err(ShardError::Variable { name: SLURM_MAX, .. })));
        }
        assert!(matches!(array("2", "3", "0", "3", "1"), Err(ShardError::Variable { name: SLURM_MAX, .. })));
        assert!(matches!(array("11", "3", "10", "14", "2"), Err(ShardError::Variable { name: SLURM, .. })));
        assert!(matches!(array("9", "3", "10", "12", "1"), Err(ShardError::Variable { name: SLURM, .. })));
    }

    #[test]
    fn single_tasks_are_done_again_as_what_they_were() {
        let again = [(SLURM, "3"), (SLURM_COUNT, "1"), (SLURM_MIN, "3"), (SLURM_MAX, "3"), (SHARDS_VARIABLE, "8")];
        assert_eq!(of(&again), Shard::new(3, 8));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(of(&[]), Err(ShardError::NoScheduler));
        assert_eq!(of(&[(SHARDS_VARIABLE, "8")]), Err(ShardError::NoScheduler));
        let unset = ShardError::Unset { is: INDEXED_JOB, missing: SHARDS_VARIABLE };
        assert_eq!(of(&[(INDEXED_JOB, "0")]), Err(unset));
        assert_eq!(of(&[(SLURM, "0")]), Err(ShardError::Unset { is: SLURM, missing: SLURM_COUNT }));
        assert_eq!(of(&[(SLURM, "0"), (SLURM_COUNT, "0")]), Err(ShardError::NoShards));
        assert_eq!(of(&[(INDEXED_JOB, "8"), (SHARDS_VARIABLE, "8")]), Err(ShardError::Index { index: 8, count: 8 }));
        let error = of(&[(INDEXED_JOB, "-1"), (SHARDS_VARIABLE, "8")]).unwrap_err().to_string();
        assert_eq!(error, "the environment variable JOB_COMPLETION_INDEX is \"-1\", must be a whole number >= 0");
    }
}
