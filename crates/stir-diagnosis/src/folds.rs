/// The number of folds of a cross-validation over problems.
const FOLDS: usize = 5;

/// Returns the fold of each row, given the problem of each: all rows of a problem are in one fold, and the folds are of
/// about equal size. `None` with fewer than two problems, of which none can be left out.
///
/// The rule is that of scikit-learn's `GroupKFold`: problems by falling number of rows, each into the fold that has the
/// fewest rows so far. Ties go to the larger problem number and to the first fold. There are five folds, or as many as
/// problems.
pub(crate) fn folds(problems: &[usize]) -> Option<Vec<usize>> {
    let mut distinct = problems.to_vec();
    distinct.sort_unstable();
    let mut groups: Vec<(usize, usize)> = distinct.chunk_by(|a, b| a == b).map(|g| (g.len(), g[0])).collect();
    if groups.len() < 2 {
        return None;
    }
    groups.sort_unstable();
    let mut sizes = vec![0; FOLDS.min(groups.len())];
    let mut fold_of: Vec<(usize, usize)> = Vec::with_capacity(groups.len());
    for (rows, problem) in groups.into_iter().rev() {
        let lightest = (0..sizes.len()).min_by_key(|&fold| sizes[fold])?;
        sizes[lightest] += rows;
        fold_of.push((problem, lightest));
    }
    fold_of.sort_unstable();
    let fold = |problem| fold_of.binary_search_by_key(problem, |(p, _)| *p).map_or(0, |at| fold_of[at].1);
    Some(problems.iter().map(fold).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sklearn.model_selection.GroupKFold(5)`, scikit-learn 1.9, on groups of different sizes.
    #[test]
    fn folds_are_those_of_scikit_learn() {
        let sizes = [3, 9, 1, 7, 4, 2, 12, 5];
        let rows: Vec<usize> = sizes.iter().enumerate().flat_map(|(p, &n)| vec![10 * p; n]).collect();
        let found = folds(&rows).unwrap();
        let mut by_problem: Vec<(usize, usize)> = rows.into_iter().zip(found).collect();
        by_problem.dedup();
        let found: Vec<usize> = by_problem.into_iter().map(|(_, fold)| fold).collect();
        assert_eq!(found, EXPECTED);
    }

    const EXPECTED: [usize; 8] = [4, 1, 2, 2, 4, 3, 0, 3];

    #[test]
    fn few_problems_make_few_folds() {
        assert_eq!(folds(&[5, 5, 5]), None);
        assert_eq!(folds(&[]), None);
        assert_eq!(folds(&[5, 3, 5]), Some(vec![0, 1, 0]));
    }
}
