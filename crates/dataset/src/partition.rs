//! Divides samples into the subsets of a split or into folds: single cells by seeded shuffles, whole patients by greedy
//! balancing.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::index::Index;
use crate::split_config::SplitConfig;

/// Train, validation, test, each ascending.
type Subsets = [Vec<usize>; 3];

/// Random streams of the seed: of the whole split, and `FOLDS + f` of fold `f`.
const WHOLE: u64 = 0;
const FOLDS: u64 = 1;

pub(crate) fn random(index: &Index, config: &SplitConfig) -> Subsets {
    let mut strata = strata(index, config.stratified);
    shuffle(&mut strata, &mut stream(config.seed, WHOLE));
    let samples = index.samples.len();
    let not_test = share_out(share(samples, 1.0 - config.test_fraction), &sizes(&strata));
    let mut test = Vec::new();
    for (stratum, keep) in strata.iter_mut().zip(not_test) {
        test.extend(stratum.split_off(keep));
    }
    test.sort_unstable();
    let [train, validation] = hold_out(strata, config.validation_fraction);
    [train, validation, test]
}

pub(crate) fn random_folds(index: &Index, config: &SplitConfig, folds: usize) -> Vec<Subsets> {
    let mut strata = strata(index, config.stratified);
    shuffle(&mut strata, &mut stream(config.seed, WHOLE));
    // In turn, class after class: fold sizes differ by at most one cell, per class and in total.
    let mut fold_of = vec![0; index.samples.len()];
    for (position, &i) in strata.iter().flatten().enumerate() {
        fold_of[i] = position % folds;
    }
    (0..folds)
        .map(|fold| {
            let test = (0..fold_of.len()).filter(|&i| fold_of[i] == fold).collect();
            let mut rest = strata.clone();
            for stratum in &mut rest {
                stratum.retain(|&i| fold_of[i] != fold);
            }
            shuffle(&mut rest, &mut stream(config.seed, FOLDS + fold as u64));
            let [train, validation] = hold_out(rest, config.validation_fraction);
            [train, validation, test]
        })
        .collect()
}

pub(crate) fn by_patient(index: &Index, config: &SplitConfig) -> Result<Subsets> {
    let groups = patients(index)?;
    need_patients(&groups, 3)?;
    let not_test = 1.0 - config.test_fraction;
    let shares = [
        not_test * (1.0 - config.validation_fraction),
        not_test * config.validation_fraction,
        config.test_fraction,
    ];
    let part_of = balance(&groups, &shares, &mut stream(config.seed, WHOLE));
    Ok([0, 1, 2].map(|part| cells_in(&groups, &part_of, part)))
}

pub(crate) fn patient_folds(index: &Index, config: &SplitConfig, folds: usize) -> Result<Vec<Subsets>> {
    let groups = patients(index)?;
    // Each fold needs one test patient, and one patient each for train and validation.
    need_patients(&groups, folds.max(3))?;
    let fold_of = balance(&groups, &vec![1.0 / folds as f64; folds], &mut stream(config.seed, WHOLE));
    let mut splits = Vec::with_capacity(folds);
    for fold in 0..folds {
        let rest: Vec<Group> = groups
            .iter()
            .zip(&fold_of)
            .filter(|(_, of)| **of != fold)
            .map(|(group, _)| group.clone())
            .collect();
        need_patients(&rest, 2)?;
        let shares = [1.0 - config.validation_fraction, config.validation_fraction];
        let part_of = balance(&rest, &shares, &mut stream(config.seed, FOLDS + fold as u64));
        splits.push([
            cells_in(&rest, &part_of, 0),
            cells_in(&rest, &part_of, 1),
            cells_in(&groups, &fold_of, fold),
        ]);
    }
    Ok(splits)
}

fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Positions of the samples, in one list or one per class.
fn strata(index: &Index, by_class: bool) -> Vec<Vec<usize>> {
    let mut strata = vec![Vec::new(); if by_class { index.classes.len() } else { 1 }];
    for (i, sample) in index.samples.iter().enumerate() {
        strata[if by_class { sample.class } else { 0 }].push(i);
    }
    strata
}

fn shuffle(strata: &mut [Vec<usize>], rng: &mut ChaCha8Rng) {
    for stratum in strata {
        stratum.shuffle(rng);
    }
}

fn sizes(strata: &[Vec<usize>]) -> Vec<usize> {
    strata.iter().map(Vec::len).collect()
}

/// The first `fraction` of every list for validation, the rest for training: `[train, validation]`, ascending.
fn hold_out(mut strata: Vec<Vec<usize>>, fraction: f64) -> [Vec<usize>; 2] {
    let total: usize = strata.iter().map(Vec::len).sum();
    let held = share_out(share(total, fraction), &sizes(&strata));
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (stratum, held) in strata.iter_mut().zip(held) {
        train.extend(stratum.split_off(held));
        validation.append(stratum);
    }
    train.sort_unstable();
    validation.sort_unstable();
    [train, validation]
}

/// `fraction` of `total`, rounded down.
fn share(total: usize, fraction: f64) -> usize {
    // 1 - 0.9 is slightly below 0.1: the addend keeps a tenth of ten at one.
    (total as f64 * fraction + 1e-9) as usize
}

/// Distributes `total` in proportion to `sizes`, by largest remainder; the parts sum to `total`.
fn share_out(total: usize, sizes: &[usize]) -> Vec<usize> {
    let whole = sizes.iter().sum::<usize>().max(1);
    let mut parts: Vec<usize> = sizes.iter().map(|size| total * size / whole).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&i| std::cmp::Reverse(total * sizes[i] % whole));
    let missing = total - parts.iter().sum::<usize>();
    for &i in by_remainder.iter().take(missing) {
        parts[i] += 1;
    }
    parts
}

/// The cells of one patient.
#[derive(Clone)]
struct Group {
    cells: Vec<usize>,
    /// The counts that are balanced over the parts: the patient's cells of each class, and the patient in the group
    /// with cells of the same classes. Without the latter, one of five folds could get most of the patients without
    /// parasites.
    counts: Vec<usize>,
}

fn patients(index: &Index) -> Result<Vec<Group>> {
    refuse_unknown(index)?;
    let group = |cells: Vec<usize>| {
        let mut counts = vec![0; index.classes.len()];
        for &i in &cells {
            counts[index.samples[i].class] += 1;
        }
        Group { cells, counts }
    };
    let mut groups: Vec<Group> = index.by_patient().into_values().map(group).collect();
    let status = |group: &Group| Vec::from_iter(group.counts.iter().map(|&cells| cells > 0));
    let statuses: BTreeSet<Vec<bool>> = groups.iter().map(status).collect();
    for group in &mut groups {
        let own = status(group);
        group.counts.extend(statuses.iter().map(|status| usize::from(*status == own)));
    }
    Ok(groups)
}

/// Refuses cells of unknown patients in a split by patient.
pub(crate) fn refuse_unknown(index: &Index) -> Result<()> {
    index.unknown_patients().map_or(Ok(()), |unknown| Err(Error::UnknownPatients(unknown)))
}

fn need_patients(groups: &[Group], needed: usize) -> Result<()> {
    if groups.len() < needed {
        let reason = format!(
            "found {} patients; expected at least {needed}, since each subset of a split, and each fold of a cross-validation, needs its own; use the random split, or fewer folds",
            groups.len()
        );
        return Err(Error::NotEnoughData { reason });
    }
    Ok(())
}

/// The cells of the groups in `part`, ascending.
fn cells_in(groups: &[Group], part_of: &[usize], part: usize) -> Vec<usize> {
    let mut cells: Vec<usize> = groups
        .iter()
        .zip(part_of)
        .filter(|(_, of)| **of == part)
        .flat_map(|(group, _)| group.cells.iter().copied())
        .collect();
    cells.sort_unstable();
    cells
}

/// Number of assignments tried. For the NIH's 150 patients, the most even of eight has each subset of the default split
/// within 0.8 points of its share of a class; a single assignment can be off by 1.5.
const DEALS: usize = 8;

/// Divides whole groups into parts, such as subsets or folds, so that each part gets its share of all counts; returns
/// the part of each group.
///
/// The greedy algorithm of scikit-learn's `StratifiedGroupKFold`: the largest groups go first, each to the part where
/// it leaves the counts most evenly filled. Two things differ. Parts may have unequal `shares` (which sum to 1), so
/// evenness compares fill over share. And scikit-learn sorts by size, so that the seed hardly matters; here
/// the order is random among groups whose sizes have the same whole part of log2, and of several such assignments the most
/// even is used.
fn balance(groups: &[Group], shares: &[f64], rng: &mut ChaCha8Rng) -> Vec<usize> {
    (0..DEALS)
        .map(|_| deal(groups, shares, rng))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or_else(Vec::new, |(part_of, _)| part_of)
}

/// One assignment: the part of each group, and the unevenness of the parts.
fn deal(groups: &[Group], shares: &[f64], rng: &mut ChaCha8Rng) -> (Vec<usize>, f64) {
    let kinds = groups.first().map_or(0, |group| group.counts.len());
    let totals: Vec<usize> =
        (0..kinds).map(|kind| groups.iter().map(|group| group.counts[kind]).sum()).collect();
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.shuffle(rng);
    order.sort_by_key(|&g| std::cmp::Reverse(groups[g].cells.len().checked_ilog2()));

    let mut filled = vec![vec![0_usize; kinds]; shares.len()];
    let mut taken = vec![false; shares.len()];
    let mut part_of = vec![0; groups.len()];
    for (dealt, &g) in order.iter().enumerate() {
        // The last groups go to the parts that are still empty.
        let empty = taken.iter().filter(|taken| !**taken).count();
        let only_empty = groups.len() - dealt <= empty;
        let best = (0..shares.len())
            .filter(|&part| !(only_empty && taken[part]))
            .map(|part| {
                add(&mut filled[part], &groups[g].counts);
                let unevenness = unevenness(&filled, shares, &totals);
                let fill = filled[part].iter().sum::<usize>() as f64 / shares[part];
                subtract(&mut filled[part], &groups[g].counts);
                (part, unevenness, fill)
            })
            .min_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)))
            .map_or(0, |(part, ..)| part);
        add(&mut filled[best], &groups[g].counts);
        taken[best] = true;
        part_of[g] = best;
    }
    let unevenness = unevenness(&filled, shares, &totals);
    (part_of, unevenness)
}

/// Standard deviation over the parts of (assigned / due), averaged over the counts.
fn unevenness(filled: &[Vec<usize>], shares: &[f64], totals: &[usize]) -> f64 {
    let mut sum = 0.0;
    for (kind, &total) in totals.iter().enumerate() {
        let fill = |part: usize| filled[part][kind] as f64 / (shares[part] * total.max(1) as f64);
        let mean: f64 = shares.iter().enumerate().map(|(part, share)| share * fill(part)).sum();
        let variance: f64 =
            shares.iter().enumerate().map(|(part, share)| share * square(fill(part) - mean)).sum();
        sum += variance.sqrt();
    }
    sum / totals.len() as f64
}

fn add(filled: &mut [usize], counts: &[usize]) {
    filled.iter_mut().zip(counts).for_each(|(filled, count)| *filled += count);
}

fn subtract(filled: &mut [usize], counts: &[usize]) {
    filled.iter_mut().zip(counts).for_each(|(filled, count)| *filled -= count);
}

fn square(x: f64) -> f64 {
    x * x
}
