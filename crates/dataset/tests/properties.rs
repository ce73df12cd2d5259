//! Properties of splits and folds of arbitrary data: a partition, whole patients, independent of the listing order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use malaria_dataset::{
    Error, Fold, Index, Protocol, Sample, Split, SplitConfig, Subset, k_fold, patient_of, split,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const CLASSES: [&str; 3] = ["Overexposed", "Parasitized", "Uninfected"];

/// An index without a folder, from the number of cells of each class per patient. Classes without cells are omitted.
fn index(cells: &[[usize; 3]]) -> Index {
    let classes: Vec<usize> = (0..3).filter(|&class| cells.iter().any(|counts| counts[class] > 0)).collect();
    let mut samples = Vec::new();
    for (patient, counts) in cells.iter().enumerate() {
        for (class, name) in classes.iter().enumerate() {
            for cell in 0..counts[*name] {
                let file = format!("C{}_thinF_IMG_1_cell_{cell}.png", patient * 7 + 1);
                let patient = patient_of(&file);
                samples.push(Sample {
                    path: format!("{}/{file}", CLASSES[*name]),
                    class,
                    patient,
                    subset: None,
                    file: None,
                });
            }
        }
    }
    samples.sort_by(|a, b| a.path.cmp(&b.path));
    let classes = classes.into_iter().map(|class| CLASSES[class].to_owned()).collect();
    Index { root: PathBuf::from("made-up"), classes, samples, ignored: Vec::new() }
}

/// Three to forty patients with up to a dozen cells of each class.
fn patients() -> impl Strategy<Value = Vec<[usize; 3]>> {
    let few = prop_oneof![
        Just([0, 1, 0]),
        (0..12_usize, 1..12_usize).prop_map(|(b, c)| [0, b, c]),
        [0..6_usize, 0..12, 1..12]
    ];
    prop::collection::vec(few, 3..40)
}

fn config() -> impl Strategy<Value = SplitConfig> {
    let protocol = prop_oneof![Just(Protocol::Random), Just(Protocol::Patient)];
    (protocol, any::<bool>(), 0.05..0.9_f64, 0.05..0.9_f64, any::<u64>()).prop_map(
        |(protocol, stratified, test_fraction, validation_fraction, seed)| SplitConfig {
            protocol,
            stratified,
            test_fraction,
            validation_fraction,
            seed,
            fold: None,
        },
    )
}

/// The subsets that contain cells of each patient.
fn subsets_by_patient(index: &Index, split: &Split) -> BTreeMap<String, BTreeSet<Subset>> {
    let mut subsets: BTreeMap<String, BTreeSet<Subset>> = BTreeMap::new();
    for subset in Subset::ALL {
        for &i in split.subset(subset) {
            subsets.entry(index.samples[i].patient.clone().unwrap()).or_default().insert(subset);
        }
    }
    subsets
}

fn all_cells(split: &Split) -> Vec<usize> {
    let mut cells = [split.train.as_slice(), &split.validation, &split.test].concat();
    cells.sort_unstable();
    cells
}

/// Whether there are too few cells or patients for the settings, the only valid reason to refuse them.
fn too_little(error: &Error) -> bool {
    matches!(error, Error::NotEnoughData { .. })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_split_is_a_partition_and_patients_stay_whole(cells in patients(), config in config()) {
        let index = index(&cells);
        let split = match split(&index, &config) {
            Ok(split) => split,
            Err(error) => {
                prop_assert!(too_little(&error), "{error}");
                return Ok(());
            }
        };
        prop_assert_eq!(all_cells(&split), Vec::from_iter(0..index.samples.len()));
        let shared = subsets_by_patient(&index, &split).into_values().filter(|subsets| subsets.len() > 1).count();
        prop_assert_eq!(split.leakage(&index).shared_patients.len(), shared);
        if config.protocol == Protocol::Patient {
            prop_assert_eq!(shared, 0);
        }
    }

    #[test]
    fn subsets_are_as_large_as_asked(cells in patients(), config in config()) {
        let index = index(&cells);
        let Ok(split) = split(&index, &config) else { return Ok(()) };
        let n = index.samples.len() as f64;
        let not_test = n * (1.0 - config.test_fraction);
        // Numbers of cells are rounded down twice. Patients are indivisible, and each subset has at least one patient
        // even with a small share.
        let largest = cells.iter().map(|counts| counts.iter().sum::<usize>()).max().unwrap() as f64;
        let slack = if config.protocol == Protocol::Random { 2.0 } else { 2.0 * largest };
        let asked = [
            (split.test.len(), n * config.test_fraction),
            (split.validation.len(), not_test * config.validation_fraction),
            (split.train.len(), not_test * (1.0 - config.validation_fraction)),
        ];
        for (found, asked) in asked {
            prop_assert!((found as f64 - asked).abs() <= slack, "{found} cells for {asked}, largest {largest}");
        }
    }

    #[test]
    fn splits_do_not_depend_on_the_order_in_which_files_are_listed(
        cells in patients(),
        config in config(),
        order in any::<u64>(),
    ) {
        // Files are created in two orders; the index sorts the system's listing.
        let index = index(&cells[..cells.len().min(6)]);
        let open = |descending: bool| {
            let folder = tempfile::tempdir().unwrap();
            let mut paths: Vec<&str> = index.samples.iter().map(|sample| sample.path.as_str()).collect();
            paths.sort_by_key(|path| path.bytes().fold(order, |hash, byte| hash.wrapping_mul(31) ^ u64::from(byte)));
            if descending {
                paths.reverse();
            }
            for path in paths {
                let path = folder.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, b"").unwrap();
            }
            Index::open(folder.path())
        };
        if let (Ok(one), Ok(other)) = (open(false), open(true)) {
            prop_assert_eq!(&one.samples, &index.samples);
            match (split(&one, &config), split(&other, &config)) {
                (Ok(one), Ok(other)) => prop_assert_eq!(one, other),
                (one, other) => prop_assert!(one.is_err() && other.is_err()),
            }
        }
    }

    #[test]
    fn folds_partition_the_cells(cells in patients(), config in config(), folds in 2..9_usize) {
        let index = index(&cells);
        let splits = match k_fold(&index, &config, folds) {
            Ok(splits) => splits,
            Err(error) => {
                prop_assert!(too_little(&error) || matches!(error, Error::Config { field: "folds", .. }), "{error}");
                return Ok(());
            }
        };
        prop_assert_eq!(splits.len(), folds);
        let mut tested = splits.iter().flat_map(|split| split.test.clone()).collect::<Vec<_>>();
        tested.sort_unstable();
        prop_assert_eq!(tested, Vec::from_iter(0..index.samples.len()));
        for (number, split) in (1..).zip(&splits) {
            prop_assert_eq!(all_cells(split), Vec::from_iter(0..index.samples.len()));
            if config.protocol == Protocol::Patient {
                prop_assert!(subsets_by_patient(&index, split).into_values().all(|subsets| subsets.len() == 1));
            } else {
                let even = index.samples.len() / folds;
                prop_assert!((even..=even + 1).contains(&split.test.len()), "{}", split.test.len());
            }
            let by_itself = SplitConfig { fold: Some(Fold { number, of: folds }), ..config };
            prop_assert_eq!(&malaria_dataset::split(&index, &by_itself).unwrap(), split);
        }
    }
}

/// Checked before memory is reserved for the folds.
#[test]
fn more_folds_than_cells_are_refused() {
    let index = index(&[[0, 3, 3]; 4]);
    for protocol in [Protocol::Random, Protocol::Patient] {
        for of in [25, 1_000_000_000_000, usize::MAX] {
            let fold = Some(Fold { number: 1, of });
            let error = split(&index, &SplitConfig { protocol, fold, ..SplitConfig::default() }).unwrap_err();
            assert!(
                matches!(error, Error::Config { field: "folds", .. } | Error::NotEnoughData { .. }),
                "{error}"
            );
        }
    }
}
